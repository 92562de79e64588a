package mount

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// needed returns the capabilities of a server. It runs as root, so exec(2) leaves it no others.
func (o Options) needed() []int {
	caps := []int{
		unix.CAP_BPF,             // load programs, make links and iterators
		unix.CAP_PERFMON,         // programs that follow kernel pointers
		unix.CAP_DAC_READ_SEARCH, // open_by_handle_at(2)
		unix.CAP_SYSLOG,          // addresses of kernel symbols that programs name (kallsyms_show_value)
	}
	if o.Registry != "none" {
		// The types and maps of a pinned program tell its output and its parameters. The kernel gives
		// them by id only with this capability (bpf_btf_get_fd_by_id and bpf_map_get_fd_by_id in
		// kernel/bpf/syscall.c).
		caps = append(caps, unix.CAP_SYS_ADMIN)
	}
	return caps
}

// giveUp makes the calling thread, and so every program it starts, unable to get any capability besides
// needed, also by programs with set-user-ID bits or file capabilities.
func giveUp(needed []int) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	keep := map[int]bool{}
	for _, c := range needed {
		keep[c] = true
	}
	for c := 0; ; c++ {
		if keep[c] {
			continue
		}
		// A unit may have dropped it already. Dropping it again would take CAP_SETPCAP.
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) { // one beyond the kernel's last
			return nil
		}
		if err == nil && has == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, err)
		}
	}
}
