package openfiles

import "slices"

// name is the name of a view at a number. A node id must not come to mean another view. So a name keeps its
// number until all of them are taken and another view needs it.
type name struct {
	length uint8
	text   [255]byte
	owner  uint32 // how many other names there were here before
	_      uint32
	seen   uint64 // the last list of views that had the name
}

// number returns the number of the view at a place. It changes with the name, so that an old node id is
// ESTALE, for example in a bind mount of the old view's file. After some 260,000 names numbers come again.
func (n *name) number(place int) int { return place + int(n.owner)*Views&(1<<NumberBits-1) }

// set gives the place a name.
func (n *name) set(text string, seen uint64) {
	n.length = 0 // a server that dies here leaves no name, and not half of one
	copy(n.text[:], text)
	n.seen = seen
	n.length = uint8(len(text))
}

// Numbers numbers the views of a list, the same in all servers of the mount. Of more than Views views the
// last have no number. The name that has been unused longest gives its place to a new one.
func (m *Memory) Numbers(list []string) map[string]int {
	defer m.lock()()
	m.head.lists++
	numbers := make(map[string]int, len(list))
	for place := range m.names {
		n := &m.names[place]
		if text := string(n.text[:n.length]); text != "" && slices.Contains(list, text) {
			n.seen = m.head.lists
			numbers[text] = n.number(place)
		}
	}
	for _, text := range list {
		if _, known := numbers[text]; known {
			continue
		}
		place := m.oldestName()
		n := &m.names[place]
		if n.seen == m.head.lists {
			break
		}
		if n.length > 0 {
			n.owner++
		}
		n.set(text, m.head.lists)
		numbers[text] = n.number(place)
	}
	return numbers
}

// oldestName returns the place of the name that has been unused longest.
func (m *Memory) oldestName() (place int) {
	for i := range m.names {
		if m.names[i].seen < m.names[place].seen {
			place = i
		}
	}
	return place
}
