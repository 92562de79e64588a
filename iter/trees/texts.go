package trees

import "sync/atomic"

// Texts has the part of a rendering about each cgroup of a list, which rows copy. A list that trees share keeps
// its texts. For example, the passes of a walk share one list until it changes.
type Texts struct {
	width int
	bytes []byte
	ends  []uint32 // where the text of each cgroup ends
}

// Kinds is the number of different texts that a list keeps. mostBytes is the room of one kind, enough for
// 100,000 cgroups. Those after it have none, because the paths of deep trees are long.
const (
	Kinds     = 8
	mostBytes = 8 << 20
)

// kept are the texts of a list. Several readers may render it at once.
type kept [Kinds]atomic.Pointer[Texts]

// Texts are the texts of one kind, a number below Kinds. each appends the text of a cgroup by its number. Texts
// of another width than before are made anew. The result is nil if the list keeps none.
func (t *Tree) Texts(kind, width int, each func(dst []byte, number int) []byte) *Texts {
	if t.kept == nil {
		return nil
	}
	if x := t.kept[kind].Load(); x != nil && x.width == width {
		return x
	}
	guess := min(2*len(t.names)+32*len(t.cgroups), mostBytes)
	x := &Texts{width: width, bytes: make([]byte, 0, guess), ends: make([]uint32, 0, len(t.cgroups))}
	for i := range t.cgroups {
		bytes := each(x.bytes, i)
		if len(bytes) > mostBytes {
			break
		}
		x.bytes, x.ends = bytes, append(x.ends, uint32(len(bytes)))
	}
	t.kept[kind].Store(x)
	return x
}

// Of is the text of a cgroup by its number, nil if there is none.
func (x *Texts) Of(number int) []byte {
	if x == nil || number >= len(x.ends) {
		return nil
	}
	from := uint32(0)
	if number > 0 {
		from = x.ends[number-1]
	}
	return x.bytes[from:x.ends[number]]
}
