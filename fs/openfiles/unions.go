package openfiles

import "sync"

// unionLock serialises the threads of this process, because locks of the memory are a process's.
var unionLock sync.Mutex

// Union returns the number of a union. If there are more than [Views], the one that was looked up longest
// ago gives its place to a new one, and its old node ids are ESTALE. numberOf gives the number of the union
// that a node is, so that unions with open files stay.
func (m *Memory) Union(text string, numberOf func(node uint64) (number int, ok bool)) int {
	unionLock.Lock()
	defer unionLock.Unlock()
	defer m.lock()()
	m.head.unions++
	for place := range m.unions {
		if n := &m.unions[place]; string(n.text[:n.length]) == text {
			n.seen = m.head.unions
			return n.number(place)
		}
	}
	place := m.oldestUnion(numberOf)
	n := &m.unions[place]
	if n.length > 0 {
		n.owner++
	}
	n.set(text, m.head.unions)
	return n.number(place)
}

// oldestUnion returns the place of the union that was looked up longest ago and has no open file. If all
// have, it is one of the user with most of them, so no user can take the numbers from others.
func (m *Memory) oldestUnion(numberOf func(node uint64) (number int, ok bool)) int {
	for place := range m.unions {
		if m.unions[place].length == 0 {
			return place
		}
	}
	const nobody = -1 // no open file, or files of several users
	users := make(map[int]int64)
	for e := range m.All() {
		number, ok := numberOf(e.Node())
		if !ok {
			continue
		}
		uid := int64(e.UID())
		if other, open := users[number]; open && other != uid {
			uid = nobody
		}
		users[number] = uid
	}
	has := make(map[int64]int)
	for _, uid := range users {
		has[uid]++
	}
	most := has[nobody]
	delete(has, nobody)
	for _, n := range has {
		most = max(most, n)
	}
	oldest, worst := 0, -1
	for place := range m.unions {
		n := &m.unions[place]
		uid, open := users[n.number(place)]
		rank := has[uid] // a union of the user with most is taken before the others
		if !open {
			rank = most + 1
		}
		if rank > worst || rank == worst && n.seen < m.unions[oldest].seen {
			oldest, worst = place, rank
		}
	}
	return oldest
}

// UnionName returns the name of a union by its number, or "".
func (m *Memory) UnionName(number int) string {
	unionLock.Lock()
	defer unionLock.Unlock()
	defer m.lock()()
	place := number % len(m.unions)
	if n := &m.unions[place]; n.number(place) == number {
		return string(n.text[:n.length])
	}
	return ""
}
