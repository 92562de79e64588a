package iter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/records"
	"golang.org/x/sys/unix"
)

// madeSocket is a socket of the test, and the columns that the view must show of it.
type madeSocket struct {
	file *os.File
	want map[string]string
}

// madeSockets are made in the test's process and handed to another one, which lives in the cgroup.
type madeSockets struct {
	t    *testing.T
	made []madeSocket
}

func (s *madeSockets) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *madeSockets) keep(fd int, want map[string]string) {
	s.t.Helper()
	f := os.NewFile(uintptr(fd), "socket")
	s.t.Cleanup(func() { f.Close() })
	var st unix.Stat_t
	s.must(unix.Fstat(fd, &st))
	net, err := unix.IoctlRetInt(fd, unix.SIOCGSKNS)
	s.must(err)
	defer unix.Close(net)
	want["inode"] = fmt.Sprint(st.Ino)
	s.must(unix.Fstat(net, &st))
	want["netns"] = fmt.Sprint(st.Ino)
	s.made = append(s.made, madeSocket{f, want})
}

func (s *madeSockets) socket(domain, kind, protocol int) int {
	s.t.Helper()
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, protocol)
	s.must(err)
	return fd
}

func (s *madeSockets) name(fd int) (unix.Sockaddr, string, string) {
	s.t.Helper()
	sa, err := unix.Getsockname(fd)
	s.must(err)
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return sa, netip.AddrFrom4(sa.Addr).String(), strconv.Itoa(sa.Port)
	case *unix.SockaddrInet6:
		return sa, netip.AddrFrom16(sa.Addr).String(), strconv.Itoa(sa.Port)
	}
	s.t.Fatalf("address %v", sa)
	return nil, "", ""
}

// streams makes a listener and two connections to it, and accepts one, which has read two of five bytes sent
// to it.
func (s *madeSockets) streams(own unix.Sockaddr, domain, kind, number int) (listener, client, accepted int) {
	s.t.Helper()
	listener = s.socket(domain, kind, number)
	s.must(unix.Bind(listener, own))
	s.must(unix.Listen(listener, 5))
	bound, err := unix.Getsockname(listener)
	s.must(err)
	if domain == unix.AF_UNIX {
		bound = own // of an abstract name the package gives the part before a NUL
	}
	client = s.socket(domain, kind, number)
	s.must(unix.Connect(client, bound))
	waits := s.socket(domain, kind, number)
	s.must(unix.Connect(waits, bound))
	s.t.Cleanup(func() { unix.Close(waits) })
	accepted, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
	s.must(err)
	s.must(unix.Sendto(client, []byte("hello"), 0, nil))
	_, err = unix.Read(accepted, make([]byte, 2))
	s.must(err)
	return listener, client, accepted
}

func (s *madeSockets) inet(protocol string, own unix.Sockaddr, domain, number int) {
	s.t.Helper()
	listener, client, accepted := s.streams(own, domain, unix.SOCK_STREAM, number)
	_, address, port := s.name(listener)
	_, from, fromPort := s.name(client)
	both := map[string]string{"protocol": protocol, "state": "established", "backlog": "-",
		"backlog_limit": "-", "path": "-", "peer_inode": "-"}
	s.keep(listener, map[string]string{
		"protocol": protocol, "state": "listen", "local_address": address, "local_port": port,
		"remote_address": "-", "remote_port": "-",
		"receive_bytes": "-", "send_bytes": "-", "backlog": "1", "backlog_limit": "5",
		"rtt_usec": "-", "path": "-",
	})
	ends := func(local, localPort, remote, remotePort string) map[string]string {
		want := maps.Clone(both)
		want["local_address"], want["local_port"], want["remote_address"],
			want["remote_port"] = local, localPort, remote, remotePort
		return want
	}
	s.keep(client, ends(from, fromPort, address, port))
	want := ends(address, port, from, fromPort)
	if protocol == "tcp" {
		want["receive_bytes"], want["send_bytes"] = "3", "0"
		info, err := unix.GetsockoptTCPInfo(accepted, unix.IPPROTO_TCP, unix.TCP_INFO)
		s.must(err)
		want["rtt_usec"] = fmt.Sprint(info.Rtt)
	}
	s.keep(accepted, want)
}

func (s *madeSockets) udp() {
	s.t.Helper()
	fd := s.socket(unix.AF_INET6, unix.SOCK_DGRAM, 0)
	s.must(unix.Bind(fd, &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}))
	own, address, port := s.name(fd)
	s.must(unix.Sendto(fd, []byte("hello"), 0, own))
	// SK_MEMINFO_RMEM_ALLOC is the first of its numbers.
	memory, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MEMINFO)
	s.must(err)
	s.keep(fd, map[string]string{
		"protocol": "udp", "state": "close", "local_address": address, "local_port": port,
		"remote_address": "-", "remote_port": "-",
		"receive_bytes": fmt.Sprint(memory), "send_bytes": "0", "backlog": "-", "rtt_usec": "-",
		"path": "-",
	})
}

func (s *madeSockets) unix(protocol, name, shown string, kind int) {
	s.t.Helper()
	listener, client, accepted := s.streams(&unix.SockaddrUnix{Name: name}, unix.AF_UNIX, kind, 0)
	all := map[string]string{"protocol": protocol, "local_address": "-", "local_port": "-",
		"remote_address": "-", "remote_port": "-", "rtt_usec": "-"}
	with := func(more map[string]string) map[string]string {
		want := maps.Clone(all)
		maps.Copy(want, more)
		return want
	}
	left := "3"
	if kind == unix.SOCK_SEQPACKET { // the rest of a message that was read is gone
		left = "0"
	}
	s.keep(listener,
		with(map[string]string{"state": "listen", "backlog": "1", "backlog_limit": "5",
			"receive_bytes": "-", "path": shown, "peer_inode": "-"}))
	s.keep(client, with(map[string]string{"state": "established", "receive_bytes": "0", "path": "-"}))
	s.keep(accepted,
		with(map[string]string{"state": "established", "receive_bytes": left, "send_bytes": "0",
			"path": shown}))
	n := len(s.made)
	s.made[n-1].want["peer_inode"], s.made[n-2].want["peer_inode"] = s.made[n-2].want["inode"],
		s.made[n-1].want["inode"]
}

// fullPath binds to all bytes of sun_path, without a NUL, for which the package has no type.
func (s *madeSockets) fullPath(path string) {
	s.t.Helper()
	name := unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	path += strings.Repeat("x", len(name.Path)-len(path))
	for i := range name.Path {
		name.Path[i] = int8(path[i])
	}
	fd := s.socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if _, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(fd),
		uintptr(unsafe.Pointer(&name)), unsafe.Sizeof(name)); errno != 0 {
		s.t.Fatal(errno)
	}
	s.keep(fd, map[string]string{"protocol": "unix_dgram", "state": "close", "path": path})
}

func (s *madeSockets) pair() {
	s.t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	s.must(err)
	for _, n := range []int{3, 4} {
		s.must(unix.Sendto(fds[0], make([]byte, n), 0, nil))
	}
	s.keep(fds[0], map[string]string{"protocol": "unix_dgram", "state": "established",
		"receive_bytes": "0", "path": "-"})
	s.keep(fds[1], map[string]string{"protocol": "unix_dgram", "state": "established",
		"receive_bytes": "7", "send_bytes": "0", "path": "-"})
}

// elsewhere takes the test's thread to a new network namespace, with its loopback interface up.
func elsewhere(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked, so that the thread ends with the test
	if err := errors.Join(unix.Unshare(unix.CLONE_NEWNET), loopbackUp()); err != nil {
		t.Fatal(err)
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

func TestSocketsAgreeWithTheirOwner(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{})["sockets"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	loopback := unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	loopback6 := unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}
	s := &madeSockets{t: t}
	s.inet("tcp", &loopback, unix.AF_INET, 0)
	here := s.made[0].want["netns"]
	elsewhere(t)
	s.inet("tcp", &loopback6, unix.AF_INET6, 0)
	if there := s.made[len(s.made)-1].want["netns"]; here == there {
		t.Fatal("no other network namespace")
	}
	if _, err := os.Stat("/proc/sys/net/mptcp"); err == nil {
		s.inet("mptcp", &loopback, unix.AF_INET, unix.IPPROTO_MPTCP)
	}
	s.udp()
	path := filepath.Join(t.TempDir(), "socket")
	s.unix("unix_stream", path, path, unix.SOCK_STREAM)
	s.fullPath(path)
	s.unix("unix_seqpacket", "@bpfviewfs\x00test", "@bpfviewfs@test", unix.SOCK_SEQPACKET)
	s.pair()
	netlink := s.socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)
	defer unix.Close(netlink)

	j := ktest.Helper{Cgroup: dir, Threads: 2, Comm: "t"}
	for _, m := range s.made {
		j.Files = append(j.Files, m.file)
	}
	j.Files = append(j.Files, os.NewFile(uintptr(netlink), "netlink"))
	pid := j.Start(t)
	all := rows(t, mustRun(t, view, ktest.CgroupID(t, dir)))
	if len(all) != len(s.made) {
		t.Errorf("%d rows for %d sockets", len(all), len(s.made))
	}
	byInode := make(map[string]map[string]string)
	for _, row := range all {
		byInode[row["inode"]] = row
	}
	for i, m := range s.made {
		row := byInode[m.want["inode"]]
		m.want["pid"], m.want["tid"], m.want["fd"], m.want["descriptors"] = strconv.Itoa(pid),
			strconv.Itoa(pid), strconv.Itoa(3+i), "1"
		for column, want := range s.made[i].want {
			if row[column] != want {
				t.Errorf("%s is %q, not %q: %v", column, row[column], want, row)
			}
		}
	}
}

// fill makes a connection to a listener of TCP and sends until the queues are full. The peer reads nothing.
func (s *madeSockets) fill(listener, number int) (client, peer, sent int) {
	s.t.Helper()
	to, err := unix.Getsockname(listener)
	s.must(err)
	client = s.socket(unix.AF_INET, unix.SOCK_STREAM, number)
	s.must(unix.Connect(client, to))
	peer, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
	s.must(err)
	s.must(unix.SetNonblock(client, true))
	for err == nil {
		var n int
		n, err = unix.SendmsgN(client, make([]byte, 1<<16), nil, nil, 0)
		sent += max(n, 0)
	}
	if err != unix.EAGAIN {
		s.t.Fatal(err)
	}
	return client, peer, sent
}

// reset closes a socket so that its peer gets a reset, and waits for that.
func (s *madeSockets) reset(fd, peer int) {
	s.t.Helper()
	s.must(unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	s.must(unix.Close(fd))
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(peer)}}, 60000); n != 1 || err != nil {
		s.t.Fatalf("no reset: %d, %v", n, err)
	}
}

// Sockets of TCP and MPTCP whose peer refused, knows no MPTCP, reads nothing, or has sent a reset. SIOCOUTQ is
// no measure: after a reset it counts bytes that are gone, and of MPTCP it counts some twice.
func TestSocketsWithoutPeer(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{})["sockets"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	s := &madeSockets{t: t}
	listener := s.socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	defer unix.Close(listener)
	s.must(unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	to, err := unix.Getsockname(listener)
	s.must(err)
	numbers := map[string]int{"tcp": 0}
	if _, err := os.Stat("/proc/sys/net/mptcp"); err == nil {
		numbers["mptcp"] = unix.IPPROTO_MPTCP
	}
	row := func(protocol, state, bytes string) map[string]string {
		return map[string]string{"protocol": protocol, "state": state, "send_bytes": bytes}
	}
	for protocol, number := range numbers { // no process listens yet
		refused := s.socket(unix.AF_INET, unix.SOCK_STREAM, number)
		if err := unix.Connect(refused, to); err != unix.ECONNREFUSED {
			t.Fatal(err)
		}
		s.keep(refused, row(protocol, "close", "0"))
	}
	s.must(unix.Listen(listener, 5))
	sents := make(map[string]int)
	for protocol, number := range numbers {
		idle := s.socket(unix.AF_INET, unix.SOCK_STREAM, number)
		s.must(unix.Connect(idle, to))
		peer, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		s.must(err)
		defer unix.Close(peer)
		s.keep(idle, row(protocol, "established", "0"))
		gone, peer, _ := s.fill(listener, number)
		s.reset(peer, gone)
		s.keep(gone, row(protocol, "close", "0"))
		full, peer, sent := s.fill(listener, number)
		defer unix.Close(peer)
		s.keep(full, row(protocol, "established", ""))
		sents[protocol] = sent
	}

	j := ktest.Helper{Cgroup: dir}
	for _, m := range s.made {
		j.Files = append(j.Files, m.file)
	}
	j.Start(t)
	byInode := make(map[string]map[string]string)
	left := func(m madeSocket) string { // the SYN was acknowledged, too
		info, err := unix.GetsockoptTCPInfo(int(m.file.Fd()), unix.IPPROTO_TCP, unix.TCP_INFO)
		s.must(err)
		return strconv.Itoa(sents[m.want["protocol"]] + 1 - int(info.Bytes_acked))
	}
	for i, m := range s.made {
		if m.want["send_bytes"] == "" {
			s.made[i].want["send_bytes"] = left(m)
		}
	}
	for _, row := range rows(t, mustRun(t, view, ktest.CgroupID(t, dir))) {
		byInode[row["inode"]] = row
	}
	for _, m := range s.made {
		row := byInode[m.want["inode"]]
		for column, want := range m.want {
			// A probe of the full window may have had an answer meanwhile.
			if row[column] != want && (want == "0" || column != "send_bytes" || row[column] != left(m)) {
				t.Errorf("%s is %q, not %q: %v", column, row[column], want, row)
			}
		}
	}
}

// A process of many sockets has more to show than fits one buffer of the kernel.
func TestSocketsOfManySockets(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{})["sockets"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	s := &madeSockets{t: t}
	j := ktest.Helper{Cgroup: dir}
	for range 500 {
		s.pair()
	}
	for _, m := range s.made {
		j.Files = append(j.Files, m.file)
	}
	j.Start(t)
	if all := rows(t, mustRun(t, view, ktest.CgroupID(t, dir))); len(all) != 1000 {
		t.Errorf("%d rows for 1000 sockets", len(all))
	}
}

// A socket that many processes have is one row, and counts once.
func TestSocketsThatAreShared(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{})["sockets"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	s := &madeSockets{t: t}
	s.inet("tcp", &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}, unix.AF_INET, 0)
	listener := s.made[0]
	j := ktest.Helper{Cgroup: dir, Children: 8, Files: []*os.File{listener.file, listener.file}}
	pid := strconv.Itoa(j.Start(t))
	id := ktest.CgroupID(t, dir)
	all := rows(t, mustRun(t, view, id))
	if len(all) != 1 || all[0]["descriptors"] != "18" || all[0]["backlog"] != "1" ||
		all[0]["pid"] != pid || all[0]["fd"] != "3" {
		t.Errorf("%v", all)
	}
	prom, err := view.Render(t.Context(), records.Prom, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	label := fmt.Sprintf(`{cgroup="/",inode="%s"}`, listener.want["inode"])
	for _, sample := range []string{"descriptors" + label + " 18\n", "backlog" + label + " 1\n"} {
		if strings.Count(string(prom), sample) != 1 {
			t.Errorf("no %s in\n%s", sample, prom)
		}
	}
	raw, err := view.Render(t.Context(), records.Raw, id, nil)
	if size := records.RawHeader + int(binary.NativeEndian.Uint32(raw[8:])); err != nil ||
		len(raw) != size {
		t.Errorf("%d bytes raw, want %d: %v", len(raw), size, err)
	}
}
