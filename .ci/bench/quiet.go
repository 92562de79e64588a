package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"bpfviewfs/.ci/stage"
)

const (
	disturbing = 0.04             // share of the CPUs that other programs may take before a row is repeated
	tries      = 2                // attempts at a row
	quietWait  = 10 * time.Second // longest wait for an idle machine before a row
)

// machine is the CPU time that all programs, and this run's, have used so far.
type machine struct {
	busy, ours time.Duration
	at         time.Time
}

// look reads /proc/stat, and cpu.stat of the run's cgroup.
func look(cgroup string) (m machine, err error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return m, err
	}
	var ticks [8]int64 // user, nice, system, idle, iowait, irq, softirq, steal
	for i, field := range strings.Fields(string(stat))[1:9] {
		if ticks[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return m, err
		}
		if i != 3 && i != 4 {
			m.busy += time.Duration(ticks[i]) * (time.Second / 100)
		}
	}
	m.at = time.Now()
	m.ours, err = stage.CPUTime(cgroup)
	return m, err
}

// disturbance is the share of the CPUs' time that other programs took since before, including stolen time.
func (m machine) disturbance(before machine, cpus int) float64 {
	others := (m.busy - before.busy) - (m.ours - before.ours)
	return max(0, others.Seconds()/m.at.Sub(before.at).Seconds()/float64(cpus))
}

// waitQuiet waits until no other thread was runnable for 0.4 s, at most limit.
func waitQuiet(limit time.Duration) {
	deadline := time.Now().Add(limit)
	for quiet := 0; quiet < 8 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		quiet++
		if running() > 1 { // this thread is one
			quiet = 0
		}
	}
}

// running is the number of runnable threads on the machine.
func running() (n int) {
	stat, _ := os.ReadFile("/proc/stat")
	for line := range strings.Lines(string(stat)) {
		if _, err := fmt.Sscanf(line, "procs_running %d", &n); err == nil {
			return n
		}
	}
	return 0
}

// longestHold is how long a run keeps the lock before it lets others have their turn, at the end of a row.
const longestHold = 45 * time.Second

// turnLock is the lock of a file by which jobs on a machine take turns. Without a path it does nothing.
type turnLock struct {
	path  string
	file  *os.File
	since time.Time
}

func (l *turnLock) take() (err error) {
	if l.path == "" || l.file != nil {
		return nil
	}
	if l.file, err = os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return err
	}
	err = unix.Flock(int(l.file.Fd()), unix.LOCK_EX)
	l.since = time.Now()
	return err
}

func (l *turnLock) giveBack() {
	if l.file != nil && time.Since(l.since) > longestHold {
		l.file.Close()
		l.file = nil
		time.Sleep(time.Second)
	}
}

// aboutMachine names the kernel and the processors.
func aboutMachine(cpus int) string {
	var name unix.Utsname
	unix.Uname(&name)
	model := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("Linux %s, %d CPUs, %s", bytes.TrimRight(name.Release[:], "\x00"), cpus, model)
}
