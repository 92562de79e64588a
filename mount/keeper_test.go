package mount

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount/handoff"
	"bpfviewfs/mount/place"
	"bpfviewfs/mount/wire"
	"golang.org/x/sys/unix"
)

// newKeeper returns a keeper with a made-up mount and servers. Servers that it starts by itself end at once.
func newKeeper(t *testing.T) *Keeper {
	t.Helper()
	testenv.NeedsRoot(t)
	log := &mounttest.Logbook{}
	k := &Keeper{Args: []string{"server"}, View: func(uint64) (int, bool) { return 0, false }, Logf: log.Printf}
	k.prepare()
	t.Cleanup(k.heedNoMore)
	k.pulse.Stop()
	var err error
	if k.good, err = os.Open(falseProgram(t)); err != nil {
		t.Fatal(err)
	}
	if k.requests, err = handoff.NewMemory(); err != nil {
		t.Fatal(err)
	}
	if k.memory, err = handoff.Memfd("files", 0); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	k.at = place.Inherited(fd, place.Info{})
	t.Cleanup(func() {
		k.release()
		k.good.Close()
		if t.Failed() {
			t.Logf("the keeper says:\n%s", log)
		}
	})
	return k
}

// falseProgram is the path of false(1), without symbolic links.
func falseProgram(t *testing.T) string {
	t.Helper()
	path, err := filepath.EvalSymlinks("/bin/false")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// server starts a process that does nothing, in the place of a server; said returns the keeper's messages to
// it.
func (k *Keeper) server(t *testing.T) (p *process, said *wire.End) {
	t.Helper()
	near, far, err := wire.New()
	if err != nil {
		t.Fatal(err)
	}
	said, err = wire.Open(far)
	if err != nil {
		t.Fatal(err)
	}
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	p = &process{Process: sleep.Process, wire: near}
	p.within(time.Hour)
	t.Cleanup(func() {
		k.drop(p)
		p.limit.Stop()
		p.Kill()
		p.Wait()
		near.Close()
		said.Close()
	})
	return p, said
}

// killed ends a process.
func (p *process) killed(t *testing.T) *os.ProcessState {
	t.Helper()
	p.Kill()
	return p.ends(t)
}

// ends waits for the end of a process that the test does not end itself.
func (p *process) ends(t *testing.T) *os.ProcessState {
	t.Helper()
	ended := make(chan *os.ProcessState, 1)
	go func() {
		end, _ := p.Wait()
		ended <- end
	}()
	select {
	case end := <-ended:
		return end
	case <-time.After(mounttest.Hang):
		t.Fatal("a server that should be killed lives on")
	}
	return nil
}

// answered reports whether the caller of a reload has got an error by now.
func answered(t *testing.T, answer <-chan error, want string) {
	t.Helper()
	select {
	case err := <-answer:
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the answer is: %v", err)
		}
	default:
		t.Error("there is no answer")
	}
}

// TestNewServerDiesBeforeItServes checks that the server before serves again. The caller of the reload must
// get an error.
func TestNewServerDiesBeforeItServes(t *testing.T) {
	k := newKeeper(t)
	p, _ := k.server(t)
	answer := make(chan error, 1)
	k.upgrades, k.reloads, k.next = true, []*reload{{answer: answer}}, p
	k.promote(k.next)
	k.died(p, p.killed(t))
	answered(t, answer, "the new server does not start")
}

// TestKeeperCannotBeReplaced removes the program before the keeper is to run it.
func TestKeeperCannotBeReplaced(t *testing.T) {
	k := newKeeper(t)
	k.mountAnew(t)
	k.path, k.dir = t.TempDir()+"/gone", "/"
	p, _ := k.server(t)
	answer := make(chan error, 1)
	k.serving, p.serves = p, true
	k.upgrades, k.reloads = true, []*reload{{answer: answer, keeper: true}}
	k.upgrade()
	k.died(p, p.ends(t))
	answered(t, answer, "gone")
	if k.next == nil {
		t.Error("no server is started in place of the one that was ended")
	}
}

// TestServerDiesBesideLeaving checks that the dead server's requests need not wait for the end of the server
// before.
func TestServerDiesBesideLeaving(t *testing.T) {
	k := newKeeper(t)
	old, _ := k.server(t)
	p, _ := k.server(t)
	k.leaving, k.serving, p.serves = old, p, true
	k.died(p, p.killed(t))
	k.died(old, old.ends(t))
}

// TestSuccessorDies checks that a server that has let go of the connection does not come back to it.
func TestSuccessorDies(t *testing.T) {
	k := newKeeper(t)
	p, said := k.server(t)
	next, _ := k.server(t)
	k.at.Found(place.Info{Target: "/somewhere"})
	k.serving, p.serves, k.next = p, true, next
	k.heard(next, wire.Message{Word: wire.Prepared})
	if m, err := said.Receive(); m.Word != wire.Stop {
		t.Fatalf("the server is told %q (%v)", m.Word, err)
	}
	k.died(next, next.killed(t))
	k.heard(p, wire.Message{Word: wire.Stopped})
	if k.next == nil {
		t.Error("nobody serves, and no server is started")
	}
	k.died(p, p.killed(t))
}

// TestPulse counts beats, not time. A keeper that did not run itself must not kill its server for that.
func TestPulse(t *testing.T) {
	k := newKeeper(t)
	p, _ := k.server(t)
	k.serving, p.serves = p, true
	for range 3 {
		for range missedBeats {
			k.beat()
		}
		k.heard(p, wire.Message{Word: wire.Pong})
	}
	if p.Signal(unix.Signal(0)) != nil {
		t.Fatal("a server that answers is killed")
	}
	for range missedBeats + 1 {
		k.beat()
	}
	k.died(p, p.ends(t))
	p, _ = k.server(t)
	k.serving, p.serves = p, true
	for range 2 * missedBeats {
		k.beat()
	}
	if p.Signal(unix.Signal(0)) != nil {
		t.Error("the next server has no more time, though the machine may be slow")
	}
	k.beat()
	k.died(p, p.ends(t))
	p, _ = k.server(t)
	k.serving, p.begun, p.exe = p, time.Now(), k.good
	k.heard(p, wire.Message{Word: wire.Serving})
	if k.mostMissed() != missedBeats {
		t.Errorf("a server that was ready soon may miss %d beats, want %d", k.mostMissed(), missedBeats)
	}
}

// TestUnmountedWithoutServer: only the keeper can notice.
func TestUnmountedWithoutServer(t *testing.T) {
	k := newKeeper(t)
	if err := unix.Unmount(k.mountAnew(t), 0); err != nil {
		t.Fatal(err)
	}
	p, _ := k.server(t)
	k.next = p
	if again, err := k.died(p, p.killed(t)); again {
		t.Errorf("it goes on (%v)", err)
	}
}

// mountAnew gives the keeper a real mount.
func (k *Keeper) mountAnew(t *testing.T) (target string) {
	t.Helper()
	at, err := place.Prepare(mounttest.TempDir(t))
	if err != nil {
		t.Fatal(err)
	}
	k.at.Close()
	k.at = at
	if err := at.Attach("src", 0); err != nil {
		t.Fatal(err)
	}
	if err := k.requests.SetInfo(at.Info()); err != nil {
		t.Fatal(err)
	}
	target = at.Info().Target
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
	return target
}

// successor returns a keeper that may take up the mount of k, and its log.
func (k *Keeper) successor(t *testing.T) (*Keeper, *mounttest.Logbook) {
	t.Helper()
	words, _, err := handOn(k.held())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(resumeVar, words)
	log := &mounttest.Logbook{}
	return &Keeper{Logf: log.Printf}, log
}

// TestResumeUnmounted: the mount of the earlier keeper is gone.
func TestResumeUnmounted(t *testing.T) {
	old := newKeeper(t)
	if err := unix.Unmount(old.mountAnew(t), 0); err != nil {
		t.Fatal(err)
	}
	k, log := old.successor(t)
	if k.resume() {
		t.Errorf("taken up: %+v", k.at.Info())
		k.at.Close()
	}
	if !strings.Contains(log.String(), "mounting anew") {
		t.Errorf("it is taken for no mount in silence: %q", log)
	}
}

// TestResumeUnknown checks that a mount that may exist is taken up, and not mounted over.
func TestResumeUnknown(t *testing.T) {
	old := newKeeper(t)
	old.mountAnew(t)
	k, log := old.successor(t)
	resumed := false
	withoutProc(t, 1, func() { resumed = k.resume() })
	if !resumed || k.at.Info() != old.at.Info() || strings.Count(log.String(), "\n") > 0 {
		t.Fatalf("resumed %t, log: %s", resumed, log)
	}
	k.at.Close()
	k.requests.Close()
	k.memory.Close()
}

// TestMountedUnknown checks that a failed look-up does not end a mount.
func TestMountedUnknown(t *testing.T) {
	k := newKeeper(t)
	k.mountAnew(t)
	withoutProc(t, 0, func() {
		if !k.at.Mounted() {
			t.Error("without /proc it is not mounted")
		}
		if _, err := k.at.Unmount(); err == nil {
			t.Error("without /proc it is unmounted")
		}
	})
	if _, err := k.at.Unmount(); err != nil || k.at.Mounted() {
		t.Errorf("mounted: %t (%v)", k.at.Mounted(), err)
	}
}

// withoutProc calls do while only so many more descriptors can be opened, too few for /proc/self/mountinfo.
func withoutProc(t *testing.T, spare uint64, do func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	free, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(free)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(free) + spare, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	do()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

// TestSocketOfAnother: the device number is free when a mount has ended. The next mount's keeper may have it
// before this one's has ended.
func TestSocketOfAnother(t *testing.T) {
	old, next := newKeeper(t), newKeeper(t)
	at := place.Info{Minor: 1<<20 - 1}
	old.at.Found(at)
	next.at.Found(at)
	for _, k := range []*Keeper{old, next} {
		if err := k.listen(); err != nil {
			t.Fatal(err)
		}
	}
	old.release()
	conn, err := net.Dial("unix", socketPath(at))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	next.release()
	if _, err := os.Lstat(socketPath(at)); err == nil {
		t.Error("the socket outlives its keeper")
	}
}

// Servers that fail to start are delayed more and more at once; servers that are killed at their start only
// later.
func TestBackOff(t *testing.T) {
	for _, test := range []struct {
		failures, killed int
		want             time.Duration
	}{
		{0, 0, firstDelay}, {1, 0, firstDelay}, {2, 0, 2 * firstDelay}, {9, 0, 256 * firstDelay}, {10, 0, lastDelay}, {1 << 40, 0, lastDelay},
		{0, patience, firstDelay}, {0, patience + 3, 8 * firstDelay}, {3, patience + 1, 4 * firstDelay}, {0, 1 << 40, lastDelay},
	} {
		if got := backOff(test.failures, test.killed); got != test.want {
			t.Errorf("after %d failures and %d killed: %v, want %v", test.failures, test.killed, got, test.want)
		}
	}
}

// A server that is killed again and again before it serves must not be started as fast as the machine can.
func TestKilledAtTheirStart(t *testing.T) {
	k := newKeeper(t)
	for range 2 * patience {
		p, _ := k.server(t)
		k.next = p
		if again, err := k.died(p, p.killed(t)); !again || err != nil {
			t.Fatalf("%v, %v", again, err)
		}
	}
	if k.killed != 2*patience || k.failures != 0 || k.retry == nil {
		t.Errorf("%d killed, %d failures, another one comes: %t", k.killed, k.failures, k.retry != nil)
	}
	p, _ := k.server(t)
	p.serves, k.serving = true, p
	k.died(p, p.killed(t))
	if k.killed != 0 {
		t.Errorf("%d killed after one that served", k.killed)
	}
}

// TestSlowToBeReady checks that servers which are too slow do not die in a row for ever: the next one has more time.
func TestSlowToBeReady(t *testing.T) {
	k := newKeeper(t)
	log := &mounttest.Logbook{}
	k.Logf = log.Printf
	tooSlow := func(p *process) {
		t.Helper()
		p.within(0)
		before := k.readyLimit()
		if again, err := k.died(p, p.ends(t)); !again || err != nil {
			t.Fatalf("%v, %v", again, err)
		}
		if want := min(2*before, 32*time.Minute); k.readyLimit() != want {
			t.Errorf("the next server may take %v, want %v", k.readyLimit(), want)
		}
	}
	for range 3 {
		p, _ := k.server(t)
		k.next = p
		tooSlow(p)
		p, _ = k.server(t)
		k.promote(p)
		if p.allowed != k.readyLimit() {
			t.Errorf("it may take %v to begin, want %v", p.allowed, k.readyLimit())
		}
		tooSlow(p)
	}
	if !strings.Contains(log.String(), "the next one may take 8m0s: starting another") {
		t.Errorf("the log does not tell: %s", log)
	}
	for _, c := range []struct{ took, want time.Duration }{{prepareLimit, 32 * time.Minute}, {0, prepareLimit}} {
		p, _ := k.server(t)
		k.serving, p.begun, p.took = p, time.Now(), c.took
		p.exe = k.good
		k.heard(p, wire.Message{Word: wire.Serving})
		if k.readyLimit() != c.want {
			t.Errorf("after one that took %v the next may take %v, want %v", c.took, k.readyLimit(), c.want)
		}
		k.serving = nil
	}
}

// TestSlowBeforeTheMount checks that the caller of mount(8) waits for more than one slow server, is told so,
// and does not wait for ever.
func TestSlowBeforeTheMount(t *testing.T) {
	k := newKeeper(t)
	k.at.Close()
	var err error
	if k.at, err = place.Prepare(mounttest.TempDir(t)); err != nil {
		t.Fatal(err)
	}
	k.ready = func(error) error { return nil }
	var warned []string
	k.Warn = func(line string) { warned = append(warned, line) }
	for n := 1; n <= firstServers; n++ {
		p, _ := k.server(t)
		k.next = p
		k.heard(p, wire.Message{Word: wire.Loading, Doing: "loading view slow (3 of 4)"})
		p.limit.Reset(0)
		again, err := k.died(p, p.ends(t))
		want := fmt.Sprintf("did not get on in %v and was killed while it was loading view slow (3 of 4): ",
			prepareLimit<<(n-1))
		if n == firstServers {
			if again || err == nil || !strings.Contains(err.Error(), want+"mount again") {
				t.Errorf("the mount ends %t, %v; want %q", !again, err, want)
			}
			break
		}
		if !again || err != nil || k.retry == nil || len(warned) != n {
			t.Fatalf("after slow server %d: goes on %t, %v, %q", n, again, err, warned)
		}
		if !strings.Contains(warned[n-1], want+"the next one may take") {
			t.Errorf("warned %q, want %q", warned[n-1], want)
		}
	}
	p, _ := k.server(t)
	k.next = p
	if again, err := k.died(p, p.killed(t)); again || err == nil {
		t.Errorf("after a server that was killed from outside: goes on %t, %v", again, err)
	}
}

// TestGetsOn checks that a server which loads one view after the other has its time anew for each of them.
func TestGetsOn(t *testing.T) {
	k := newKeeper(t)
	p, _ := k.server(t)
	k.next = p
	p.within(time.Hour)
	before := p.limit
	k.heard(p, wire.Message{Word: wire.Loading})
	if p.allowed != prepareLimit || before.Stop() {
		t.Errorf("it may take %v, and its time before is over: %t", p.allowed, !before.Stop())
	}
	k.serving = p // else it is told to begin
	k.heard(p, wire.Message{Word: wire.Prepared})
	k.heard(p, wire.Message{Word: wire.Loading})
	if p.limit.Stop() {
		t.Error("a server that is prepared is killed when its views change slowly")
	}
}

// TestEndsWithoutServer checks that a keeper without a mount ends, whatever its servers do.
func TestEndsWithoutServer(t *testing.T) {
	for name, over := range map[string]func(k *Keeper, p *process){
		"it is told":   func(k *Keeper, p *process) { k.heard(p, wire.Message{Word: wire.Ended}) },
		"nobody tells": func(k *Keeper, _ *process) { k.beat() },
	} {
		k := newKeeper(t)
		if err := unix.Unmount(k.mountAnew(t), 0); err != nil {
			t.Fatal(err)
		}
		p, _ := k.server(t)
		k.serving, p.serves = p, true
		if over(k, p); k.deadline == nil {
			t.Errorf("%s: it waits for ever", name)
		}
		if again, err := k.expired(); again || err == nil {
			t.Errorf("%s: after the limit it goes on (%v)", name, err)
		}
		k.release() // the server's end is never reported
	}
}

// TestProgramsAreClosed checks that programs of earlier servers are closed before the garbage collector finds
// them.
func TestProgramsAreClosed(t *testing.T) {
	k := newKeeper(t)
	for range 10 {
		exe, err := os.Open(k.good.Name())
		if err != nil {
			t.Fatal(err)
		}
		p, _ := k.server(t)
		p.exe = exe
		k.serving = p
		k.heard(p, wire.Message{Word: wire.Serving})
		k.drop(p)
		end := p.killed(t)
		if exe, err = os.Open(k.good.Name()); err != nil {
			t.Fatal(err)
		}
		next := &process{Process: p.Process, exe: exe, wire: p.wire}
		next.within(time.Hour)
		k.died(next, end) // it never served
	}
	if open := strings.Count(strings.Join(mounttest.ListFDs(), "\n"), "->"+k.good.Name()); open != 1 {
		t.Errorf("%d programs are open", open)
	}
}
