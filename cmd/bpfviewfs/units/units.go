// Package units writes numbers for people, in a few characters.
package units

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Bytes is a number of bytes with three digits and an IEC prefix, for example 1.50M for MiB. Below 1024 it
// has no prefix.
func Bytes(n float64) string { return scaled(n, 1024, "KMGTPE") }

// Number is a number with three digits and an SI prefix, for example 12.3k. Whole numbers below 10,000 are
// exact.
func Number(n float64) string {
	if n == math.Trunc(n) && math.Abs(n) < 10000 {
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	return scaled(n, 1000, "kMGTPE")
}

func scaled(n, base float64, prefixes string) string {
	prefix := ""
	for i := 0; math.Abs(n) >= base*0.9995 && i < len(prefixes); i++ {
		n /= base
		prefix = prefixes[i : i+1]
	}
	return digits(n, prefix == "") + prefix
}

// digits is a number with three digits. A whole one has no fraction if exact is set.
func digits(n float64, exact bool) string {
	places := 0
	switch size := math.Abs(n); {
	case exact && n == math.Trunc(n), size >= 99.95:
	case size >= 9.995:
		places = 1
	default:
		places = 2
	}
	return strconv.FormatFloat(n, 'f', places, 64)
}

// Percent is a share of 1 in per cent: 0.123 is 12.3.
func Percent(share float64) string { return strconv.FormatFloat(share*100, 'f', 1, 64) }

// Seconds is a time with three digits and a unit: 12.3us, 4.56ms, 7.89s, 2m03s, 1h02m, 3d04h.
func Seconds(s float64) string {
	switch size := math.Abs(s); {
	case size == 0:
		return "0s"
	case size < 999.5e-9:
		return digits(s*1e9, true) + "ns"
	case size < 999.5e-6:
		return digits(s*1e6, false) + "us"
	case size < 0.9995:
		return digits(s*1e3, false) + "ms"
	case size < 60:
		return digits(s, false) + "s"
	}
	return Duration(time.Duration(s * float64(time.Second)))
}

// Duration is a time in its two largest units, of at least a second.
func Duration(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}
