package observe

import "sync"

// family caches the members of a metric vector by a comparable key, so that the hot path neither
// builds slices of label values nor hashes them. It is safe for concurrent use.
type family[K comparable, M any] struct {
	create func(K) M

	mu      sync.RWMutex
	members map[K]M
}

func newFamily[K comparable, M any](create func(K) M) *family[K, M] {
	return &family[K, M]{create: create, members: map[K]M{}}
}

// memberFor returns the member for the key, and creates it on first use.
func (f *family[K, M]) memberFor(key K) M {
	f.mu.RLock()
	m, ok := f.members[key]
	f.mu.RUnlock()
	if ok {
		return m
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if m, ok := f.members[key]; ok {
		return m
	}
	m = f.create(key)
	f.members[key] = m
	return m
}

// forEach calls visit for every member that exists. visit must not use the family.
func (f *family[K, M]) forEach(visit func(K, M)) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for k, m := range f.members {
		visit(k, m)
	}
}
