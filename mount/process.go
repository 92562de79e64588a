package mount

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/wire"
	"golang.org/x/sys/unix"
)

// process is a server process, as its keeper sees it.
type process struct {
	*os.Process
	wire     *wire.End
	exe      *os.File // its program
	region   int      // of slots, from its begin on
	started  time.Time
	prepared bool
	doing    string        // of its preparations, in words
	took     time.Duration // to be prepared
	begun    time.Time     // when it got the order to begin
	serves   bool          // it has reported so
	last     *wire.Message // its last report: wire.Ended or wire.Failed
	missed   int           // beats without an answer

	wantsStandby bool // it has reported that a standby is worth while

	limit   *time.Timer   // kills it when it is too slow
	allowed time.Duration // until then
	late    atomic.Bool   // limit has killed it
}

// within kills the process after d, unless limit is stopped or set anew.
func (p *process) within(d time.Duration) {
	if p.limit != nil {
		p.limit.Stop()
	}
	p.allowed = d
	p.limit = time.AfterFunc(d, func() {
		p.late.Store(true)
		p.Kill()
	})
}

// event is a server's report or, without a message, its end.
type event struct {
	from *process
	said wire.Message
	end  *os.ProcessState
}

// spawn starts a server process. The program is an open file, because its path may lead to another one by
// now.
func (k *Keeper) spawn(exe *os.File, standby bool) (_ *process, err error) {
	near, far, err := wire.New()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	std, err := k.streams()
	defer func() {
		if err != nil {
			near.Close()
			std.said.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	defer std.close()
	device, err := unix.FcntlInt(uintptr(k.at.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("start a server: duplicate /dev/fuse: %w: see ulimit -n", err)
	}
	fuse := os.NewFile(uintptr(device), "/dev/fuse")
	defer fuse.Close()
	// Above the server's descriptors, which are put in their places before its program is opened.
	program, err := unix.FcntlInt(exe.Fd(), unix.F_DUPFD_CLOEXEC, 100)
	if err != nil {
		return nil, fmt.Errorf("start a server: a descriptor above 100: %w: see ulimit -n", err)
	}
	defer unix.Close(program)
	attr := &os.ProcAttr{
		Dir:   "/",
		Env:   os.Environ(),
		Files: std.files,
		Sys:   &syscall.SysProcAttr{Setsid: true}, // the terminal's signals are for the keeper
	}
	wire.Legacy{Requests: k.requests.File(), Memory: k.memory, Wire: far, Kept: k.kept,
		Standby: standby}.HandTo(attr, fuse)
	started, err := k.startConfined(fmt.Sprintf("/proc/self/fd/%d", program), attr, standby)
	if err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	p := &process{Process: started, wire: near, exe: exe, started: time.Now()}
	k.await(p)
	if std.said != nil {
		go k.relay(std.said)
	}
	go k.follow(p)
	return p, nil
}

// startConfined starts a program that has only the capabilities of a server, and is killed for want of memory
// before its keeper.
func (k *Keeper) startConfined(program string, attr *os.ProcAttr, standby bool) (started *os.Process, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlock: the thread ends with the goroutine, so no other code lacks these
		// capabilities.
		runtime.LockOSThread()
		if err := giveUp(k.Options.needed()); err != nil {
			k.Logf("the server keeps privileges that it does not need: %v", err)
		}
		started, err = os.StartProcess(program, k.Args, attr)
	}()
	<-done
	if err != nil {
		return nil, err
	}
	k.expose(started.Pid, standby)
	return started, nil
}

// expose makes a server likelier to be killed for want of memory than its keeper.
func (k *Keeper) expose(pid int, standby bool) {
	if err := exposeServer(pid, standby); err != nil {
		k.Logf("the server is no likelier to be killed for want of memory than its keeper: %v", err)
	}
}

// follow passes on a server's reports, and at last its end.
func (k *Keeper) follow(p *process) {
	var later []*os.File // see wire.Close
	for {
		m, err := p.wire.Receive()
		if err != nil {
			break
		}
		if m.Word == wire.Close {
			later = append(later, m.Files...)
			continue
		}
		k.report(event{from: p, said: m})
	}
	end, _ := p.Wait()
	p.wire.Close()
	k.report(event{from: p, end: end})
	for _, f := range later {
		f.Close()
	}
}

func (k *Keeper) report(e event) {
	select {
	case k.events <- e:
	case <-k.gone:
	}
}

// crashed reports whether a server ended by a fault of its own. A signal from outside or the OOM killer is
// none.
func crashed(s *os.ProcessState) bool {
	status, ok := s.Sys().(syscall.WaitStatus)
	return !ok || !status.Signaled() || status.Signal() != unix.SIGKILL
}

// why returns the end of a server process as an error.
func (p *process) why(end *os.ProcessState) error {
	switch {
	case p.last != nil && p.last.Error != "":
		return p.last.Err()
	case p.late.Load():
		err := fmt.Errorf("server %d did not get on in %v and was killed", p.Pid, p.allowed)
		if p.doing != "" {
			err = fmt.Errorf("%w while it was %s", err, p.doing)
		}
		return err
	}
	return exit.With(exit.System, fmt.Errorf("server %d ended: %v", p.Pid, end))
}
