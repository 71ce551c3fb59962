package deliver

// callSize is the maximum number of items in a call. A call that was too large, or that may have
// taken too long, halves it; full calls that pass let it grow again.
type callSize struct {
	configured int
	reduced    int // 0: not reduced
	fullCalls  int // consecutive, since the last change
}

// maxItems returns the current limit.
func (c *callSize) maxItems() int {
	if c.reduced > 0 {
		return c.reduced
	}
	return c.configured
}

// reduceBelow limits later calls to half the items of this one. A call of one item has no effect.
func (c *callSize) reduceBelow(items int) {
	if items > 1 {
		c.reduced, c.fullCalls = min(c.maxItems(), items/2), 0
	}
}

// recordPassed raises a reduced limit by an eighth after 16 full calls. If that is too much, it
// costs one rejected call.
func (c *callSize) recordPassed(items int) {
	const fullCallsToGrow = 16
	if c.reduced == 0 || items < c.reduced {
		return
	}
	if c.fullCalls++; c.fullCalls < fullCallsToGrow {
		return
	}
	c.fullCalls = 0
	c.reduced += max(1, c.reduced/8)
	if c.reduced >= c.configured {
		c.reduced = 0
	}
}
