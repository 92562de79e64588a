package records

import (
	"encoding/binary"

	"bpfviewfs/internal/decimal"
	"bpfviewfs/internal/plain"
	"bpfviewfs/internal/room"
	"bpfviewfs/iter/trees"
)

// subject is the part of a rendering about one cgroup. Each row of a tree copies it:
//
//	text               the columns CGROUP_ID and PATH, and the end of the line
//	JSON               the members cgroup and cgroup_id, with a comma after each
//	Prometheus text    the brace, and the label cgroup
//	raw                the head of a frame, in which the number of records is 0
type subject struct {
	format  Format
	idWidth int // of the column CGROUP_ID
	texts   *trees.Texts

	// These are for cgroups of which the tree keeps no text. Most siblings follow each other.
	last   []byte
	parent int    // the number in Tree of the cgroup above the last one, 0 if none is kept
	above  []byte // its escaped path, with a slash at its end
}

// beginSubjects is called before the first row.
func (o *Output) beginSubjects(f Format) {
	w := &o.subject
	w.format, w.parent, w.texts, w.idWidth = f, 0, nil, len("CGROUP_ID")
	if !o.tree {
		return
	}
	if f == Text && decimal.Digits(o.Greatest()) > w.idWidth {
		for i := range o.parts {
			if p := &o.parts[i]; p.raw < p.rawEnd {
				w.idWidth = max(w.idWidth, decimal.Digits(o.Cgroup(p.number)))
			}
		}
	}
	w.texts = o.Texts(int(f), w.idWidth, o.appendSubject)
}

// subjectOf is the text about a cgroup by its number. It is good until the next call.
func (o *Output) subjectOf(number int) []byte {
	if text := o.subject.texts.Of(number); text != nil {
		return text
	}
	o.subject.last = o.appendSubject(o.subject.last[:0], number)
	return o.subject.last
}

func (o *Output) appendSubject(dst []byte, number int) []byte {
	from, id := len(dst), o.Cgroup(number)
	switch o.subject.format {
	case Text:
		dst = decimal.AppendField(dst, id, o.subject.idWidth, ' ')
		return append(o.appendPath(dst, number), '\n')
	case JSON:
		dst = append(o.appendPath(append(dst, `"cgroup":"`...), number), `","cgroup_id":`...)
		return append(appendInteger(dst, id), ',')
	case Raw:
		dst = binary.NativeEndian.AppendUint64(dst, id)
		dst = o.appendPath(binary.NativeEndian.AppendUint64(dst, 0), number)
		binary.NativeEndian.PutUint32(dst[from+8:], uint32(len(dst)-from-frameHeader))
		return appendPadding(dst, from)
	}
	// The path begins at the cgroup that was asked for, as in a cgroup namespace. The owner of a part of
	// the tree must not learn of cgroups above it.
	dst = append(dst, `{cgroup="/`...)
	if o.tree && number > 0 {
		dst = o.appendPath(dst, number)
	}
	return append(dst, '"')
}

// appendPath appends a cgroup's path, escaped for the format.
func (o *Output) appendPath(dst []byte, number int) []byte {
	w := &o.subject
	f := w.format
	if o.Plain() {
		f = Raw
	}
	if parent := o.Parent(number); parent > 0 {
		if w.parent != parent {
			w.parent, w.above = parent, append(appendName(w.above[:0], o.Path(parent), f), '/')
		}
		dst = append(dst, w.above...)
	}
	return appendName(dst, o.Name(number), f)
}

// appendName appends a path or a part of it, escaped for the format. The escaped parts of a path make the
// escaped path, because no character begins before a slash and ends after it.
func appendName(dst, name []byte, f Format) []byte {
	switch f {
	case Text:
		return plain.AppendField(dst, name, false)
	case JSON:
		return plain.AppendStringText(dst, name)
	case Raw:
		return append(dst, name...)
	}
	return plain.AppendLabel(dst, name, true)
}

func (w *subject) end(keep int) {
	w.texts, w.last, w.above = nil, room.Within(w.last, keep), room.Within(w.above, keep)
}
