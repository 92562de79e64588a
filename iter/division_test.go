package iter

import (
	"math/big"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"bpfviewfs/internal/testenv"
	"github.com/cilium/ebpf"
)

// cpuTime is struct cputime of bpf/cputime.h.
type cpuTime struct{ User, System, Runtime, PrevUser, PrevSystem uint64 }

// division divides CPU time in the kernel, with a record of its own.
type division struct {
	program *ebpf.Program
	records *ebpf.Map
}

func newDivision(t testing.TB) *division {
	t.Helper()
	testenv.NeedsRoot(t)
	coll, err := ebpf.LoadCollection("testdata/divides.bpf.o")
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(coll.Close)
	return &division{coll.Programs["divides"], coll.Maps["records"]}
}

func (d *division) forget(t testing.TB) {
	t.Helper()
	if err := d.records.Put(uint32(0), make([]byte, d.records.ValueSize())); err != nil {
		t.Fatal(err)
	}
}

func (d *division) of(ticks cpuTime) (answer cpuTime, err error) {
	_, err = d.program.Run(&ebpf.RunOptions{Context: &ticks, ContextOut: &answer})
	return answer, err
}

// prevTime is the kernel's struct prev_cputime.
type prevTime struct{ user, system uint64 }

// adjust is cputime_adjust of kernel/sched/cputime.c.
func (p *prevTime) adjust(t cpuTime) {
	if p.user+p.system >= t.Runtime {
		return
	}
	user, system := uint64(0), uint64(0)
	switch {
	case t.System == 0:
	case t.User == 0:
		system = t.Runtime
	default:
		n := new(big.Int).SetUint64(t.System)
		n.Mul(n, new(big.Int).SetUint64(t.Runtime))
		system = n.Div(n, new(big.Int).SetUint64(t.User+t.System)).Uint64()
	}
	system = max(system, p.system)
	if user = t.Runtime - system; user < p.user {
		user, system = p.user, t.Runtime-p.user
	}
	p.user, p.system = user, system
}

// clock is a thread that the ticks meet now in user mode and now in the kernel.
type clock struct {
	now    cpuTime
	kernel prevTime
	random *rand.Rand
}

// step lets the thread run for a while. Some steps are shorter than a tick, and now and then the kernel's own
// file is read.
func (c *clock) step(longest uint64) {
	const tick = 4_000_000
	ran := c.random.Uint64N(longest)
	c.now.Runtime += ran
	for range (c.random.Uint64N(tick) + ran) / tick {
		if c.random.IntN(2) == 0 {
			c.now.User += tick
		} else {
			c.now.System += tick
		}
	}
	if c.random.IntN(20) == 0 {
		c.kernel.adjust(c.now)
	}
	c.now.PrevUser, c.now.PrevSystem = c.kernel.user, c.kernel.system
}

// Of one answer after the other neither part ever falls, and their sum is the run time. Without other answers of
// the kernel each is the kernel's own.
func TestDividedTimeNeverFalls(t *testing.T) {
	d := newDivision(t)
	for seed := range uint64(40) {
		d.forget(t)
		c := &clock{random: rand.New(rand.NewPCG(seed, 0))}
		if seed%4 == 3 { // years of many CPUs
			c.now = cpuTime{User: 3 << 57, System: 1 << 56, Runtime: 1<<59 - 12345}
		}
		var last, reference prevTime
		for i := range 500 {
			if i%10 > 0 {
				c.step(20_000_000)
			}
			told := c.now
			if seed%2 == 0 {
				told.PrevUser, told.PrevSystem = 0, 0
			}
			got, err := d.of(told)
			if err != nil {
				t.Fatal(err)
			}
			if got.User < last.user || got.System < last.system || got.User+got.System != c.now.Runtime ||
				got.Runtime != c.now.Runtime {
				t.Fatalf("%+v is divided as %+v after %+v", told, got, last)
			}
			last = prevTime{got.User, got.System}
			if seed%2 == 0 {
				reference.adjust(told)
				if off := max(got.User, reference.user) - min(got.User, reference.user); off > 1+told.Runtime>>29 {
					t.Fatalf("%+v is divided as %+v, and by the kernel as %+v", told, got, reference)
				}
				continue
			}
			if room := told.Runtime - last.user - last.system; room != 0 {
				t.Fatalf("%d ns are left", room)
			}
		}
	}
}

// Where the kernel's last answer and the record can both hold, an answer is below neither.
func TestDivisionHeedsTheKernelsAnswer(t *testing.T) {
	d := newDivision(t)
	for _, tt := range []struct {
		ticks, want cpuTime
	}{
		{cpuTime{User: 1, System: 0, Runtime: 1000}, cpuTime{User: 1000}},
		{cpuTime{User: 1, System: 1, Runtime: 1100}, cpuTime{User: 1000, System: 100}},
		{cpuTime{User: 1, System: 3, Runtime: 2000, PrevUser: 1200, PrevSystem: 300}, cpuTime{User: 1200, System: 800}},
		{cpuTime{User: 3, System: 1, Runtime: 2400, PrevUser: 300, PrevSystem: 1100}, cpuTime{User: 1300, System: 1100}},
		// The two contradict each other, and the record goes first.
		{cpuTime{User: 1, System: 1, Runtime: 2500, PrevUser: 500, PrevSystem: 2000}, cpuTime{User: 1300, System: 1200}},
		// The kernel's file was read since this reader looked at the clock.
		{cpuTime{User: 1, System: 1, Runtime: 2500, PrevUser: 1400, PrevSystem: 1300}, cpuTime{User: 1300, System: 1200}},
		{cpuTime{User: 1, System: 1, Runtime: 2600, PrevUser: 1400, PrevSystem: 1300}, cpuTime{User: 1400, System: 1300}},
		// This view was read since.
		{cpuTime{User: 1, System: 1, Runtime: 100}, cpuTime{User: 1400, System: 1300}},
	} {
		got, err := d.of(tt.ticks)
		if err != nil {
			t.Fatal(err)
		}
		if got.User != tt.want.User || got.System != tt.want.System || got.Runtime != got.User+got.System {
			t.Fatalf("%+v is divided as %+v, not %+v", tt.ticks, got, tt.want)
		}
	}
}

// An answer is no less than any that was given before its reader began, however many read at once.
func TestDividedTimeNeverFallsAtOnce(t *testing.T) {
	d := newDivision(t)
	c := &clock{random: rand.New(rand.NewPCG(1, 2))}
	c.step(20_000_000)
	if _, err := d.of(c.now); err != nil { // later answers are all recorded
		t.Fatal(err)
	}
	var mu sync.Mutex // of the clock
	var users, systems, given atomic.Uint64
	raise := func(to *atomic.Uint64, value uint64) {
		for old := to.Load(); old < value && !to.CompareAndSwap(old, value); old = to.Load() {
		}
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 5_000 {
				user, system := users.Load(), systems.Load()
				mu.Lock()
				c.step(3_000_000)
				told := c.now
				mu.Unlock()
				got, err := d.of(told)
				if err != nil {
					t.Error(err)
					return
				}
				if got.User < user || got.System < system || got.Runtime != got.User+got.System {
					t.Errorf("%+v is divided as %+v, after %d and %d", told, got, user, system)
					return
				}
				if got.Runtime >= told.Runtime {
					given.Add(1)
				}
				raise(&users, got.User)
				raise(&systems, got.System)
			}
		})
	}
	group.Wait()
	// A reader that meets a writer which was preempted gives the last answer again.
	if n := given.Load(); n < 39_000 {
		t.Errorf("%d of 40000 answers have the whole time", n)
	}
}
