package limits

// pool is a limited amount that all users share. Root can take all of it, the others together three quarters.
//
// A user other than root gets no more than the others have left. So one user alone can have half of the three
// quarters, two users a third each, and ten users an eleventh each. The user who holds most is refused first,
// and a new user always gets something.
type pool struct {
	room   int64
	taken  int64
	others int64 // of that, by users other than root
}

// grants reports whether a user with own units may take n more.
func (p *pool) grants(uid uint32, own, n int64) bool { return n <= p.left(uid, own) }

// left is how much a user with own units may take.
func (p *pool) left(uid uint32, own int64) int64 {
	left := p.room - p.taken
	if uid != 0 {
		left = min(left, p.room/4*3-p.others-own)
	}
	return left
}

func (p *pool) add(uid uint32, n int64) {
	p.taken += n
	if uid != 0 {
		p.others += n
	}
}

// SetTotal sets how many bytes the open files, directories and runs of all users may hold. Bytes already
// held stay.
func (l *Limiter) SetTotal(bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes.room = bytes
	l.wake()
}
