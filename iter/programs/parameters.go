package programs

import (
	"fmt"
	"maps"
	"slices"

	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Set gives the object's global variables other values than it was built with. They are "const volatile", or
// plain ones, which then begin with these values.
func (o *Object) Set(parameters map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		v := o.spec.Variables[name]
		if v == nil || v.Type == nil || v.Type.Linkage != btf.GlobalVar {
			return errno.Errorf(unix.EINVAL,
				"parameter %s: the object has no global variable of that name", name)
		}
		if err := setVariable(v, parameters[name]); err != nil {
			return errno.Errorf(unix.EINVAL, "parameter %s: %w", name, err)
		}
	}
	return nil
}

func setVariable(v *ebpf.VariableSpec, value any) error {
	t := btf.UnderlyingType(v.Type.Type)
	if text, ok := value.(string); ok {
		array, ok := t.(*btf.Array)
		if !ok || !isChar(array.Type) {
			return fmt.Errorf("text is given for a variable that is no char array")
		}
		if len(text) >= int(array.Nelems) {
			return fmt.Errorf("%d bytes of text are given, %d fit", len(text), array.Nelems-1)
		}
		return v.Set(append([]byte(text), make([]byte, int(array.Nelems)-len(text))...))
	}
	signed := false
	switch t := t.(type) {
	case *btf.Int:
		if truth, ok := value.(bool); ok != (t.Encoding == btf.Bool) {
			return fmt.Errorf("%v is given for a variable of type %s", value, t.Name)
		} else if ok {
			return v.Set(truth)
		}
		signed = t.Encoding == btf.Signed
	case *btf.Enum:
		signed = t.Signed
	default:
		return fmt.Errorf("it is neither a number nor bool nor a char array")
	}
	return setInteger(v, signed, value)
}

func isChar(t btf.Type) bool {
	i, ok := btf.UnderlyingType(t).(*btf.Int)
	return ok && i.Size == 1 && i.Encoding != btf.Bool
}

func setInteger(v *ebpf.VariableSpec, signed bool, value any) error {
	bits := v.Size() * 8
	var n uint64
	fits := false
	switch value := value.(type) {
	case int:
		n = uint64(value)
		fits = value >= 0 && n>>(bits-1)>>1 == 0
		if signed {
			fits = int64(value)>>(bits-1) == 0 || int64(value)>>(bits-1) == -1
		}
	case uint64: // above the values of int
		n, fits = value, !signed && bits == 64
	default:
		return fmt.Errorf("%v is no whole number", value)
	}
	if !fits {
		return fmt.Errorf("%v does not fit into its %d bits", value, bits)
	}
	switch bits {
	case 8:
		return v.Set(uint8(n))
	case 16:
		return v.Set(uint16(n))
	case 32:
		return v.Set(uint32(n))
	case 64:
		return v.Set(n)
	}
	return fmt.Errorf("numbers of %d bits are not supported", bits)
}
