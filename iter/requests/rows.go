package requests

import (
	"bytes"
	"fmt"

	"github.com/cilium/ebpf"
)

// Unsortable is why the output of one run cannot be sorted to the cgroups.
type Unsortable string

func (why Unsortable) Error() string { return string(why) }

const errAboutNone = Unsortable("it also writes rows that are about no cgroup")

// Output is the output of one run about all cgroups. Its frame is a header and a footer.
type Output struct {
	all            []byte
	lead           int // end of the output of calls before the program asked for any cgroup
	rows           []row
	header, footer int // their sizes
}

// row is the output of a call of the program, which asked for one cgroup.
type row struct {
	cgroup   uint64
	from, to int
	below    bool // it is about the cgroups above, too
}

// Reading is one run of a program about all cgroups.
type Reading struct {
	Requests *ebpf.Map
	Reader   uint32                         // the thread that reads
	Record   int                            // size of a record; 0 for text and encoded output
	Next     func(size int) ([]byte, error) // reads up to so many bytes; none is the end
	Wanted   func(cgroup uint64) bool       // whether rows of a cgroup are kept
	Fits     func(size int) error           // is asked about the size of all that is kept
}

// Read reads the output. It leaves out calls that asked for cgroups which are not wanted, except the first and
// the last, which may have a header or a footer. The error wraps [Unsortable] if the program's calls cannot be
// told apart.
//
// The kernel goes on to the next object as long as the output is shorter than the read. So a read of one byte,
// or of one record, ends with the call that wrote it, and the next read brings the rest of that call.
func (r *Reading) Read() (*Output, error) {
	o := new(Output)
	keep := 0 // of all; the rest is a call about a cgroup that is not wanted
	for {
		piece, err := r.Next(max(r.Record, 1))
		if err != nil {
			return nil, err
		}
		asked, err := r.answer()
		if err != nil {
			return nil, err
		}
		if len(piece) == 0 {
			return o, nil
		}
		o.all = append(o.all[:keep], piece...)
		if r.Record < 2 {
			if err := r.restOfCall(o, asked.Asked); err != nil {
				return nil, err
			}
		}
		end, wanted := len(o.all), asked.Asked > 0 && r.Wanted(asked.Row)
		switch {
		case asked.Asked == 0:
			o.lead = end
		case wanted:
			o.rows = append(o.rows, row{asked.Row, keep, end, asked.Below != 0})
		}
		if wanted || keep == 0 {
			keep = end
		}
		if err := r.Fits(end); err != nil {
			return nil, err
		}
	}
}

// restOfCall reads the output of a call after its first byte. asked is how often the program had asked by then.
func (r *Reading) restOfCall(o *Output, asked uint64) error {
	piece, err := r.Next(1 << 16)
	if err != nil {
		return err
	}
	o.all = append(o.all, piece...)
	now, err := r.answer()
	if err == nil && len(piece) > 0 && now.Asked != asked {
		err = Unsortable("it writes single bytes")
	}
	return err
}

// answer is the request with the answers of the program.
func (r *Reading) answer() (is request, err error) {
	if err = r.Requests.Lookup(r.Reader, &is); err != nil {
		return is, fmt.Errorf("ask which cgroup the output is about: %w", err)
	}
	if is.Own != 0 {
		return is, Unsortable("it calls view_request, and may know cgroups in other ways")
	}
	return is, nil
}

// SetFrame tells the output its frame, which is the output of a run about no cgroup. Only text may have one.
func (o *Output) SetFrame(frame []byte, text bool) error {
	if len(frame) > 0 && !text {
		return errAboutNone
	}
	header, ok := headerOf(frame, o.all)
	if !ok {
		return Unsortable("its header or footer is another in each run")
	}
	if o.lead > header {
		return errAboutNone
	}
	o.header, o.footer = header, len(frame)-header
	return nil
}

// Header and Footer are the parts of the frame.
func (o *Output) Header() []byte { return o.all[:o.header] }
func (o *Output) Footer() []byte { return o.all[len(o.all)-o.footer:] }

// Rows calls take for each row without the frame: with its cgroup, and whether it is about those above, too.
func (o *Output) Rows(take func(cgroup uint64, below bool, text []byte)) {
	for _, w := range o.rows {
		from, to := max(w.from, o.header), min(w.to, len(o.all)-o.footer)
		if from < to {
			take(w.cgroup, w.below, o.all[from:to])
		}
	}
}

// headerOf is the size of the header in a frame of whole lines. all is the output about all cgroups, which has
// the frame around it.
func headerOf(frame, all []byte) (header int, ok bool) {
	for header = len(frame); ; header = bytes.LastIndexByte(frame[:header-1], '\n') + 1 {
		if len(all) >= len(frame) && bytes.HasPrefix(all, frame[:header]) &&
			bytes.HasSuffix(all, frame[header:]) {
			return header, true
		}
		if header == 0 {
			return 0, false
		}
	}
}
