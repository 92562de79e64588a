package records

import "bpfviewfs/internal/plain"

// abovePath is the escaped path of the parent of the last cgroup shown. Most siblings follow each other.
type abovePath struct {
	parent int // the number in Tree; 0 if none is kept
	format Format
	text   []byte // with a slash at its end
}

// span is a place in the rendering. Text that is needed again is copied from there.
type span struct{ from, to int }

// appendPath appends a part's path, escaped for the format.
func (o *Output) appendPath(dst []byte, p *part, f Format) []byte {
	if o.Plain() {
		f = Raw
	}
	if parent := o.Parent(p.number); parent > 0 {
		a := &o.above
		if a.parent != parent || a.format != f {
			a.parent, a.format = parent, f
			a.text = append(appendName(a.text[:0], o.Path(parent), f), '/')
		}
		dst = append(dst, a.text...)
	}
	return appendName(dst, o.Name(p.number), f)
}

// appendName appends a path or a part of it, escaped for the format. The escaped parts of a path make the
// escaped path, because no character begins before a slash and ends after it.
func appendName(dst, name []byte, f Format) []byte {
	switch f {
	case Text:
		return plain.AppendField(dst, name, false)
	case JSON:
		return plain.AppendStringText(dst, name)
	case Prom:
		return plain.AppendLabel(dst, name, true)
	}
	return append(dst, name...)
}
