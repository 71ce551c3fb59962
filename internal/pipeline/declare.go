package pipeline

import (
	"sluice/internal/config"
	"sluice/internal/topics"
)

// declareMetrics creates the series of every configured pipeline, so that they exist before a
// broker or a vendor has responded.
func (c *Connector) declareMetrics() {
	for _, p := range c.cfg.Pipelines {
		obs := c.opts.Observe.Pipeline(p.Name)
		for _, route := range p.Routes {
			obs.DeclareOperation(route.OperationName())
		}
		if p.Ordering != config.OrderingKey { // with key ordering, refused records wait in their lane
			for _, delay := range p.Retry.Delays {
				obs.DeclareTopic(topics.RetryTopic(c.cfg.Name, p.Name, delay))
			}
		}
		obs.DeclareTopic(topics.DeadLetterTopic(c.cfg.Name, p.Name))
	}
}
