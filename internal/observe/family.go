package observe

import "sync"

// family keeps a vector's members by a key of ours, so that the hot path neither builds label slices nor hashes them.
type family[K comparable, M any] struct {
	make func(K) M

	mu      sync.RWMutex
	members map[K]M
}

func newFamily[K comparable, M any](make func(K) M) *family[K, M] {
	return &family[K, M]{make: make, members: map[K]M{}}
}

func (f *family[K, M]) get(k K) M {
	f.mu.RLock()
	m, ok := f.members[k]
	f.mu.RUnlock()
	if ok {
		return m
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if m, ok := f.members[k]; ok {
		return m
	}
	m = f.make(k)
	f.members[k] = m
	return m
}

func (f *family[K, M]) each(do func(K, M)) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for k, m := range f.members {
		do(k, m)
	}
}
