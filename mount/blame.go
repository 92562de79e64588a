package mount

import (
	"fmt"
	"time"

	"bpfviewfs/mount/handoff"
)

// blame records the views that crash servers. A view is disabled after three crashes within a minute for
// which it is the only suspect: its request was the only one in work, or was tried alone (see server.try). A
// server that was killed, for example by the OOM killer, proves nothing against a view.
type blame struct {
	strikes  map[int][]time.Time
	disabled map[int]string // the reason, by view
}

const (
	strikesOut   = 3
	strikesCount = time.Minute
)

// accuse finds the view that crashed p.
func (k *Keeper) accuse(p *process, why error) {
	view, ok := k.suspect(p)
	if !ok {
		return
	}
	b := &k.blame
	if b.strikes == nil {
		b.strikes, b.disabled = map[int][]time.Time{}, map[int]string{}
	}
	b.strikes[view] = append(b.strikes[view], time.Now())
	strikes := b.strikes[view]
	if n := len(strikes) - strikesOut; n >= 0 && time.Since(strikes[n]) < strikesCount {
		b.disabled[view] = fmt.Sprintf("it ended the server %d times, at last: %v; "+
			"bpfviewfs reload tries it again", len(strikes), why)
		k.Logf("a view is disabled, .bpfview/views tells which: %s", b.disabled[view])
	}
}

// suspect returns the view on trial, or the only view with a request in work, when p died.
func (k *Keeper) suspect(p *process) (view int, ok bool) {
	if node := k.requests.Trial(); node != 0 {
		k.requests.SetTrial(0)
		return k.View(node)
	}
	for n := range handoff.Regions {
		if k.leaving != nil && n != p.region {
			continue
		}
		slots, _ := k.requests.Region(n)
		for _, slot := range slots {
			r := slot.Left()
			if r == nil || r.Waits() || !r.RunsView() {
				continue
			}
			another, isView := k.View(r.Node())
			switch {
			case !isView || ok && another == view:
			case ok:
				return 0, false
			default:
				view, ok = another, true
			}
		}
	}
	return view, ok
}
