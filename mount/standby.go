package mount

import "time"

// A standby is a server that has prepared itself and waits. When the one that serves dies, the standby begins
// in a millisecond or two. A new process would take some 40 ms to start and to open its views. Until then a
// standby reads no request and costs nothing but memory.
//
// It is never out of date, because the server that serves reports each change of its views, and the keeper
// then prepares another one. A server for which a standby is not worth while says so when it begins.

// settle is how long the keeper waits after a change, because changes come in groups.
const settle = time.Second

// prepareStandby starts a standby if a server serves and nothing else is under way.
func (k *Keeper) prepareStandby() {
	usual := k.serving != nil && k.serving.serves && k.next == nil && k.leaving == nil &&
		k.replacing == nil && k.deadline == nil
	if !usual || !k.serving.wantsStandby || k.standby != nil || k.standbyDue != nil {
		return
	}
	p, err := k.spawn(k.good, true)
	if err != nil {
		k.lostStandby(err)
		return
	}
	k.standby = p
}

// lostStandby has another standby started later.
func (k *Keeper) lostStandby(why error) {
	k.standby = nil
	if k.standbyFails++; k.standbyFails == 1 {
		k.Logf("no server stands by, so the next one will start slowly: %v: starting another", why)
	}
	k.standbyDue = time.After(backOff(k.standbyFails, 0))
}

// renewStandby replaces a standby of which the views are out of date.
func (k *Keeper) renewStandby() {
	k.dismissStandby()
	k.standbyDue = time.After(settle)
}

// dismissStandby ends the standby, if there is one.
func (k *Keeper) dismissStandby() {
	if p := k.standby; p != nil {
		p.Kill()
		k.standby, k.dismissed = nil, append(k.dismissed, p)
	}
}
