package mount

import (
	"os"
	"testing"

	"bpfviewfs/mount/place"
	"bpfviewfs/mount/wire"
)

// withStandby gives the keeper a server that serves, and a standby that is prepared.
func (k *Keeper) withStandby(t *testing.T) (serving, standby *process, said *wire.End) {
	t.Helper()
	k.at.Found(place.Info{Target: "/somewhere"})
	serving, _ = k.server(t)
	standby, said = k.server(t)
	serving.exe, standby.exe = k.good, k.good
	k.serving, k.standby = serving, standby
	k.heard(serving, wire.Message{Word: wire.Serving, Standby: true})
	k.heard(standby, wire.Message{Word: wire.Prepared})
	return serving, standby, said
}

// TestStandbyBegins checks that the standby takes the place of a dead server at once, and that there is
// another standby afterwards.
func TestStandbyBegins(t *testing.T) {
	k := newKeeper(t)
	serving, standby, said := k.withStandby(t)
	if k.serving != serving || k.next != nil {
		t.Fatal("a standby begins beside the server that serves")
	}
	k.died(serving, serving.killed(t))
	if m, err := said.Receive(); m.Word != wire.Go || !m.Order.Take || m.Order.Status.Restarts != 1 {
		t.Errorf("the standby is told %+v (%v)", m, err)
	}
	if k.serving != standby || k.standby != nil || k.next != nil {
		t.Error("the standby does not serve")
	}
	k.prepareStandby()
	if k.standby != nil {
		t.Error("another server is prepared while readers wait for this one")
	}
	k.heard(standby, wire.Message{Word: wire.Serving, Standby: true})
	if k.prepareStandby(); k.standby == nil {
		t.Error("nobody stands by")
	}
}

// TestStandbyBesideReload checks that no reader waits for the server of a reload that is not prepared.
func TestStandbyBesideReload(t *testing.T) {
	k := newKeeper(t)
	serving, standby, _ := k.withStandby(t)
	next, _ := k.server(t)
	answer := make(chan error, 1)
	k.next, k.upgrades, k.reloads = next, true, []*reload{{answer: answer}}
	k.died(serving, serving.killed(t))
	if k.serving != standby || k.next != next || k.status.Reloads != 0 {
		t.Fatalf("the standby does not serve, or counts as the reload")
	}
	k.heard(standby, wire.Message{Word: wire.Serving, Standby: true})
	k.heard(next, wire.Message{Word: wire.Prepared})
	k.heard(standby, wire.Message{Word: wire.Stopped})
	if k.serving != next || k.leaving != standby || next.region == standby.region || k.status.Reloads != 1 {
		t.Error("the reload does not go on")
	}
}

// TestStandbyOutOfDate checks that a standby ends when the views change or another program serves.
func TestStandbyOutOfDate(t *testing.T) {
	for name, change := range map[string]func(k *Keeper, p *process){
		"its views": func(k *Keeper, p *process) { k.heard(p, wire.Message{Word: wire.Changed, Standby: true}) },
		"its program": func(k *Keeper, p *process) {
			exe, err := os.Open(falseProgram(t))
			if err != nil {
				t.Fatal(err)
			}
			p.exe = exe
			k.heard(p, wire.Message{Word: wire.Serving, Standby: true})
		},
	} {
		k := newKeeper(t)
		serving, standby, _ := k.withStandby(t)
		change(k, serving)
		end := standby.ends(t)
		if k.heard(standby, wire.Message{Word: wire.Prepared}); k.serving != serving || k.standby == standby {
			t.Errorf("%s: the old standby is still one", name)
		}
		if len(k.processes()) != 2 {
			t.Errorf("%s: %d processes are to be buried, not 2", name, len(k.processes()))
		}
		k.died(standby, end)
		if len(k.processes()) != 1 {
			t.Errorf("%s: %d processes are left, not 1", name, len(k.processes()))
		}
	}
}

// TestStandbyDies checks that the death of a standby is no death of a server, and that the next one that
// cannot start is delayed.
func TestStandbyDies(t *testing.T) {
	k := newKeeper(t)
	serving, standby, _ := k.withStandby(t)
	for fails := 1; fails <= 3; fails++ {
		k.died(standby, standby.killed(t))
		if k.serving != serving || k.standby != nil || k.status.Restarts != 0 {
			t.Fatal("it counts as a server")
		}
		if k.prepareStandby(); k.standby != nil || k.standbyDue == nil || k.standbyFails != fails {
			t.Errorf("after %d deaths another one is started at once", fails)
		}
		standby, _ = k.server(t)
		k.standby, k.standbyDue = standby, nil
	}
	k.heard(standby, wire.Message{Word: wire.Prepared})
	if k.standbyFails != 0 {
		t.Error("it fails, although it is prepared")
	}
}

// TestNoStandby checks that a server for which a standby is not worth while has none.
func TestNoStandby(t *testing.T) {
	k := newKeeper(t)
	p, _ := k.server(t)
	k.serving, p.exe = p, k.good
	k.heard(p, wire.Message{Word: wire.Serving})
	if k.prepareStandby(); k.standby != nil {
		t.Error("somebody stands by")
	}
	k.heard(p, wire.Message{Word: wire.Changed, Standby: true})
	k.standbyDue = nil
	if k.prepareStandby(); k.standby == nil {
		t.Error("nobody stands by when the views have changed")
	}
	k.heard(p, wire.Message{Word: wire.Changed})
	k.standbyDue = nil
	if k.prepareStandby(); k.standby != nil {
		t.Error("somebody stands by when they have changed again")
	}
}
