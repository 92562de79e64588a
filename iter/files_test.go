package iter

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// procTask has the fields of a thread in /proc.
type procTask struct {
	ppid         int
	state        string
	switches     string // how often it was given a CPU and left it
	user, system int64  // ticks of 10 ms
	rss          int64
	comm         string
}

func readProc(t testing.TB, pid, tid int) procTask {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/task/%d", pid, tid)
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	stat := string(b)
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	f := strings.Fields(stat[end+1:])
	var p procTask
	p.comm, p.state = stat[open+1:end], f[0]
	p.ppid, _ = strconv.Atoi(f[1])
	p.user, _ = strconv.ParseInt(f[11], 10, 64)
	p.system, _ = strconv.ParseInt(f[12], 10, 64)
	if b, err = os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)); err != nil {
		t.Fatal(err)
	}
	p.rss, _ = strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	p.rss *= int64(os.Getpagesize())
	if b, err = os.ReadFile(dir + "/status"); err != nil {
		t.Fatal(err)
	}
	_, p.switches, _ = strings.Cut(string(b), "voluntary_ctxt_switches:")
	return p
}
