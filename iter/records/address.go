package records

import (
	"net/netip"

	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// setAddress takes sixteen bytes. They are an IPv6 address, or an IPv4 one as ::ffff:a.b.c.d.
func (c *column) setAddress(t btf.Type) error {
	if n, ok := arrayOf(t, 1); !ok || n != 16 {
		return errno.Errorf(unix.ENOEXEC, "type %v is no address, which is __u8[16]", t)
	}
	c.kind, c.size, c.width = address, 16, len("255.255.255.255")
	return nil
}

// appendAddress appends an address in its usual form.
func (c *column) appendAddress(dst, rec []byte) []byte {
	return netip.AddrFrom16([16]byte(c.bytes(rec))).Unmap().AppendTo(dst)
}
