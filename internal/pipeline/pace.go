package pipeline

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// paceEvery is how often an instance's share of an account's rate follows its share of the partitions.
const paceEvery = 5 * time.Second

// pace keeps each account's limiter at the share of the account's rate that this instance owns of the partitions of the pipelines that use it, until ctx ends. So
// all instances together keep to the account's limit, within paceEvery of a rebalance.
func (c *Connector) pace(ctx context.Context) {
	tick := time.NewTicker(paceEvery)
	defer tick.Stop()
	for {
		for name, a := range c.accounts {
			if a.limiter != nil {
				a.limiter.SetLimit(rate.Limit(a.RequestsPerSecond * share(c.owned(name))))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// owned counts the partitions of the pipelines that use an account: those of this instance, and all.
func (c *Connector) owned(account string) (mine, all int) {
	for i, p := range c.cfg.Pipelines {
		for _, r := range p.Routes {
			if r.Account == account {
				m, a := c.pipelines[i].group.OwnedPartitions()
				mine, all = mine+m, all+a
				break
			}
		}
	}
	return mine, all
}

// share is what part of a rate an instance takes. While nothing is known or owned it is all of it: nothing is sent then but by calls that end.
func share(mine, all int) float64 {
	if mine <= 0 || all <= 0 {
		return 1
	}
	return min(float64(mine)/float64(all), 1)
}
