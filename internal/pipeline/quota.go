package pipeline

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// quotaInterval is how often an instance's quotas are adjusted to its share of the partitions.
const quotaInterval = 5 * time.Second

// updateQuotas keeps the limiter of each account at this instance's quota until ctx ends. The quota
// is the account's rate limit times the instance's share of the partitions of all pipelines that
// use the account. All instances together thus respect the limit within quotaInterval of a
// rebalance.
func (c *Connector) updateQuotas(ctx context.Context) {
	ticker := time.NewTicker(quotaInterval)
	defer ticker.Stop()
	for {
		for name, a := range c.accounts {
			if a.limiter != nil {
				a.limiter.SetLimit(rate.Limit(a.RequestsPerSecond * quotaShare(c.ownedPartitions(name))))
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// ownedPartitions counts the partitions of the pipelines that use an account: those that this
// instance owns, and all of them.
func (c *Connector) ownedPartitions(account string) (owned, total int) {
	for i, p := range c.cfg.Pipelines {
		for _, r := range p.Routes {
			if r.Account == account {
				pipelineOwned, pipelineTotal := c.pipelines[i].group.OwnedPartitions()
				owned, total = owned+pipelineOwned, total+pipelineTotal
				break
			}
		}
	}
	return owned, total
}

// quotaShare returns an instance's share of a rate limit. It is the whole limit while the partition
// counts are unknown or the instance owns no partition; such an instance starts no calls except
// those that finish a drain.
func quotaShare(owned, total int) float64 {
	if owned <= 0 || total <= 0 {
		return 1
	}
	return min(float64(owned)/float64(total), 1)
}
