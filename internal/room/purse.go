package room

import "errors"

// Purse is an Owner for tests. It grants so many bytes, and then refuses with ErrEmpty.
type Purse struct{ Left, Granted int64 }

var ErrEmpty = errors.New("empty")

func (p *Purse) Take(bytes int64) error {
	if p.Left -= bytes; p.Left < 0 {
		return ErrEmpty
	}
	p.Granted += bytes
	return nil
}
