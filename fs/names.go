package fs

import "slices"

// name is the name of a view, by which its number is found. A node id must not come to mean another view, so a name keeps its
// number as long as possible: until all of them are taken and another view needs it.
type name struct {
	length uint8
	text   [255]byte
	owner  uint32 // how many other names there were here before
	_      uint32
	seen   uint64 // the last list of views that had the name
}

// number of the view whose name is at a place. It changes with the name, so that a node id that the kernel still holds of the view
// before, for example for a bind mount of its file, is ESTALE. After some 260,000 names numbers come again.
func (n *name) number(place int) int { return place + int(n.owner)*maxViews&maxNumber }

// number gives the views of a list their numbers, the same in all servers of the mount. A view has none if there are more
// than maxViews. A name that no view had for the longest time gives its place to a new one.
func (m *memory) number(list []string) map[string]int {
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
		n.length = 0 // a server that dies here leaves no name, and not half of one
		copy(n.text[:], text)
		n.seen = m.head.lists
		n.length = uint8(len(text))
		numbers[text] = n.number(place)
	}
	return numbers
}

// oldestName is the place whose name was in no list for the longest time.
func (m *memory) oldestName() (place int) {
	for i := range m.names {
		if m.names[i].seen < m.names[place].seen {
			place = i
		}
	}
	return place
}
