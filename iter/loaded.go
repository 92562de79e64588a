package iter

import (
	"fmt"

	"bpfviewfs/iter/links"
	"bpfviewfs/iter/records"
	"github.com/cilium/ebpf/btf"
)

// inspect fills in what the kernel knows of the program.
func (it *loaded) inspect(cache *btf.Cache) error {
	info, err := it.program.Info()
	if err != nil {
		return fmt.Errorf("ask the kernel about the program: %w", err)
	}
	if it.target, err = links.Target(it.program, cache); err != nil {
		return err
	}
	// Without BTF, as some loaders leave it, there are no tags.
	if functions, err := info.FuncInfos(); err == nil && len(functions) > 0 {
		it.tags = functions[0].Func.Tags
	}
	return nil
}

// typ reads the type of the program's output from its BTF; without any it is text.
func (it *loaded) typ() (records.Type, error) {
	handle, err := it.program.Handle()
	if err != nil {
		return records.TypeOf(nil, it.tags)
	}
	defer handle.Close()
	types, err := handle.Spec(nil)
	if err != nil {
		return records.Type{}, fmt.Errorf("read the program's types: %w", err)
	}
	return records.TypeOf(types, it.tags)
}
