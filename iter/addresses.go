package iter

import (
	"bufio"
	"os"
	"strings"
)

// showsTarget sets more properties of a view of a target. The iterator of symbols shows addresses if its
// reader may read them in /proc/kallsyms, and bpfviewfs mostly may (CAP_SYSLOG). So the files are for root
// alone, as addresses there are, unless settings say otherwise.
func (v *View) showsTarget(target string) {
	if target != "ksym" {
		return
	}
	v.addresses = true
	if readsAddresses() {
		v.warn("it shows addresses of the kernel, so its files are root's and have mode 0400 " +
			"unless settings say otherwise")
	} else {
		v.warn("it shows 0 for every address of the kernel, as /proc/kallsyms does (sysctl kernel.kptr_restrict)")
	}
}

// readsAddresses reports whether the kernel tells this process where its code is.
func readsAddresses() bool {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if address, is := strings.CutSuffix(lines.Text(), " T _stext"); is {
			return strings.Trim(address, "0") != ""
		}
	}
	return false
}
