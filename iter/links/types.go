package links

import (
	"sync"
	"time"

	"github.com/cilium/ebpf/btf"
)

// typesLife is how long decoded types of the kernel are kept. Modules come and go, and the types take 5 MB.
const typesLife = 10 * time.Second

var kernelTypes struct {
	mu    sync.Mutex
	cache *btf.Cache
}

// KernelTypes are the kernel's types, for programs that are loaded one by one when they are first needed. To
// decode them takes 15 ms, which callers share for ten seconds.
func KernelTypes() *btf.Cache {
	k := &kernelTypes
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cache == nil {
		k.cache = btf.NewCache()
		time.AfterFunc(typesLife, func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.cache = nil
		})
	}
	return k.cache
}
