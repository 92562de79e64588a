package iter

import (
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// The program reads the value that was set.
func TestParameterOfProgram(t *testing.T) {
	h := testHierarchy(t, "")
	p := ktest.Writing("v", "cgroup", 0)
	p.Instructions = append(asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 0, asm.DWord).WithSymbol("v"),
		asm.LoadMem(asm.R6, asm.R6, 0, asm.DWord),
		asm.LoadMapValue(asm.R2, 0, 4).WithReference(".rodata"),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R3, 4),
		asm.FnSeqWrite.Call(),
	}, asm.Mov.Imm(asm.R0, 0), asm.Return())
	number := &ebpf.VariableSpec{
		Name: "number", SectionName: ".rodata", Offset: 4, Value: make([]byte, 4),
		Type: &btf.Var{Name: "number", Type: &btf.Int{Name: "unsigned int", Size: 4},
			Linkage: btf.GlobalVar},
	}
	spec := &ebpf.CollectionSpec{
		Programs: map[string]*ebpf.ProgramSpec{"v": p},
		Maps: map[string]*ebpf.MapSpec{".rodata": {
			Name: ".rodata", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1,
			Contents: []ebpf.MapKV{{Key: uint32(0), Value: make([]byte, 8)}},
		}},
		Variables: map[string]*ebpf.VariableSpec{"number": number},
	}
	o, err := newObject(spec, "v")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Set(map[string]any{"number": 0x64636261}); err != nil {
		t.Fatal(err)
	}
	v := &View{name: "v", life: newLife(), set: testSet(t, h, Options{})}
	if err := v.loadObject(o, btf.NewCache()); err != nil {
		t.Fatalf("%+v", &loadError{"v", err})
	}
	defer v.close()
	if out := mustRun(t, v, h.Root()); !strings.HasPrefix(out, "abcd") {
		t.Errorf("output %q", out)
	}
}
