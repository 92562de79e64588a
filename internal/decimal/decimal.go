// Package decimal appends decimal numbers, faster than strconv.
package decimal

import (
	"math/bits"
	"slices"
)

// AppendField appends v in decimal, at the right of a field of at least the given width, and then the byte
// end. strconv has no such field, and takes twice the time.
func AppendField(dst []byte, v uint64, width int, end byte) []byte {
	n := max(Digits(v), width)
	from := len(dst)
	dst = extend(dst, n+1)
	field := dst[from : from+n]
	dst[from+n] = end
	for i := range Put(field, v) {
		field[i] = ' '
	}
	return dst
}

// Put writes v in decimal at the end of field, which has room for it. It returns where the number begins.
func Put(field []byte, v uint64) int {
	n := len(field) - 1
	for ; v >= 10000; n -= 4 { // the two pairs do not wait for each other
		high, low := pairs[2*(v%10000/100):], pairs[2*(v%100):]
		v /= 10000
		four := field[n-3 : n+1]
		four[0], four[1], four[2], four[3] = high[0], high[1], low[0], low[1]
	}
	if v >= 100 {
		pair := pairs[2*(v%100):]
		v /= 100
		field[n-1], field[n] = pair[0], pair[1]
		n -= 2
	}
	if v >= 10 {
		field[n] = '0' + byte(v%10)
		v /= 10
		n--
	}
	field[n] = '0' + byte(v)
	return n
}

// AppendPoint appends v with its last digits, as many as places, after a point. Zeros at the end are left out.
// For example 1500 with 6 places is 0.0015.
func AppendPoint(dst []byte, v uint64, places int) []byte {
	n := max(Digits(v), places+1)
	from, point := len(dst), len(dst)+n-places
	dst = extend(dst, n+1)
	digits := dst[from+1:]
	for i := range Put(digits, v) {
		digits[i] = '0'
	}
	for i := from; i < point; i++ {
		dst[i] = dst[i+1]
	}
	dst[point] = '.'
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	if len(dst) == point+1 {
		return dst[:point]
	}
	return dst
}

// Append appends v in decimal.
func Append(dst []byte, v uint64) []byte {
	if v < 10 {
		return append(dst, '0'+byte(v))
	}
	dst = AppendField(dst, v, 0, 0)
	return dst[:len(dst)-1]
}

// AppendDash appends a dash, for a value that is not available, in a field like that of AppendField.
func AppendDash(dst []byte, width int, end byte) []byte {
	from := len(dst)
	dst = append(extend(dst, width), end)
	field := dst[from : from+width]
	for i := range field {
		field[i] = ' '
	}
	field[width-1] = '-'
	return dst
}

// extend makes dst longer by n bytes with undefined values.
func extend(dst []byte, n int) []byte {
	if cap(dst)-len(dst) < n {
		dst = slices.Grow(dst, n)
	}
	return dst[:len(dst)+n]
}

// Digits is the number of decimal digits of v.
func Digits(v uint64) int {
	n := bits.Len64(v|1) * 1233 >> 12 // log10(2) is 1233/4096
	if v|1 < powers[n] {
		return n
	}
	return n + 1
}

var powers = func() (p [20]uint64) {
	p[0] = 1
	for i := range len(p) - 1 {
		p[i+1] = 10 * p[i]
	}
	return p
}()

// pairs are the numbers below 100 in two digits each.
const pairs = "00010203040506070809" + "10111213141516171819" + "20212223242526272829" +
	"30313233343536373839" + "40414243444546474849" + "50515253545556575859" +
	"60616263646566676869" + "70717273747576777879" + "80818283848586878889" +
	"90919293949596979899"
