package units

import (
	"math"
	"testing"
	"time"
)

func TestUnits(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Bytes(0), "0"}, {Bytes(1023), "1023"}, {Bytes(1024), "1.00K"}, {Bytes(1536), "1.50K"},
		{Bytes(10 << 20), "10.0M"},
		{Bytes(999.9 * 1024 * 1024), "1000M"}, {Bytes(1023.9 * 1024 * 1024), "1.00G"},
		{Bytes(math.MaxUint64), "16.0E"}, {Bytes(0.5), "0.50"},
		{Bytes(-2048), "-2.00K"}, {Bytes(123 << 30), "123G"},
		{Number(9999), "9999"}, {Number(12345), "12.3k"}, {Number(1.5), "1.50"},
		{Number(999999), "1.00M"},
		{Percent(0.1234), "12.3"}, {Percent(0), "0.0"}, {Percent(1.5), "150.0"},
		{Seconds(0), "0s"}, {Seconds(12.34e-6), "12.3us"}, {Seconds(0.9999e-3), "1.00ms"},
		{Seconds(7.891), "7.89s"}, {Seconds(123), "2m03s"},
		{Duration(59 * time.Second), "59s"}, {Duration(3720 * time.Second), "1h02m"},
		{Duration(76 * time.Hour), "3d04h"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}
