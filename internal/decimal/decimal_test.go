package decimal

import (
	"fmt"
	"math"
	"math/big"
	"testing"
)

func TestAppend(t *testing.T) {
	values := []uint64{0, 1, 9, math.MaxUint64}
	for v := uint64(10); v <= 1e19; v *= 10 {
		values = append(values, v-1, v, v+1)
		if v == 1e19 {
			break
		}
	}
	for _, v := range values {
		if got, want := string(Append([]byte("a"), v)), fmt.Sprintf("a%d", v); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		for places := range 10 {
			one := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(places)), nil)
			exact := new(big.Rat).SetFrac(new(big.Int).SetUint64(v), one)
			digits, _ := exact.FloatPrec()
			want := "a" + exact.FloatString(digits)
			if got := string(AppendPoint([]byte("a"), v, places)); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		for _, width := range []int{0, 1, 7, 30} {
			got, want := string(AppendField([]byte("a"), v, width, ' ')),
				fmt.Sprintf("a%*d ", width, v)
			if got != want {
				t.Errorf("%d: %q, want %q", width, got, want)
			}
		}
	}
	if got := string(AppendDash([]byte("a"), 3, '\n')); got != "a  -\n" {
		t.Errorf("%q", got)
	}
}
