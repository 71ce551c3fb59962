package offset

// Owner is the assignment that owns a retry partition, and where its ownership begins in the log:
// at the offset of its ownership marker. Of the records behind the marker, those of other writers
// are late copies. The zero Owner means that none is known.
type Owner struct {
	WriterID string // at most 32 bytes
	Marker   int64
}

// SetOwner sets the owner that is committed with the partition's offset.
func (t *Tracker) SetOwner(owner Owner) {
	if owner.WriterID == "" || len(owner.WriterID) > maxWriterIDBytes {
		panic("offset: a writer ID must have 1 to 32 bytes")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owner = owner
	t.noteChange()
}

// Owner returns the owner that SetOwner has set or RestoreMetadata has restored.
func (t *Tracker) Owner() Owner {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.owner
}
