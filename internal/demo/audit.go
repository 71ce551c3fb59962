package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/config"
	"sluice/internal/demo/sandbox"
	"sluice/internal/record"
	"sluice/internal/topics"
)

// auditor looks for records from outside the connector: in the vendors' ledgers, in the connector's
// topics and in the committed offsets. It is not safe for concurrent use.
type auditor struct {
	vendors          *sandbox.Server
	operations       []string
	groups           []string
	sourceTopics     []string
	deadLetterTopics map[string]bool // topics not in deadLetterTopics are retry topics
	reader           *kgo.Client
	admin            *kadm.Client
	topics           []string // names of the topics to read

	found       findings
	nextOffsets map[string]map[int32]int64 // by topic and partition
	entriesRead map[string]int             // ledger entries already read, by operation
}

func newAuditor(cfg *config.Config, brokers []string, vendors *sandbox.Server) (*auditor, error) {
	a := &auditor{
		vendors: vendors, deadLetterTopics: map[string]bool{}, found: newFindings(),
		nextOffsets: map[string]map[int32]int64{}, entriesRead: map[string]int{},
	}
	for _, p := range cfg.Pipelines {
		a.groups = append(a.groups, p.ConsumerGroup)
		a.sourceTopics = append(a.sourceTopics, p.Topic)
		a.deadLetterTopics[topics.DeadLetterTopic(cfg.Name, p.Name)] = true
		for _, r := range p.Routes {
			a.operations = append(a.operations, r.OperationName())
		}
	}
	for _, t := range topics.RequiredTopics(cfg) {
		a.topics = append(a.topics, t.Name)
		a.nextOffsets[t.Name] = map[int32]int64{}
	}
	var err error
	if a.reader, err = kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(a.topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	); err != nil {
		return nil, fmt.Errorf("creating the auditor's client: %w", err)
	}
	a.admin = kadm.NewClient(a.reader)
	return a, nil
}

func (a *auditor) close() { a.reader.Close() }

// collectFindings returns everything found so far. It reads the commits before it reads the topics
// and the vendors' ledgers, so that a record with a committed offset is found wherever it has
// moved.
func (a *auditor) collectFindings(ctx context.Context) (findings, error) {
	if err := a.readCommits(ctx); err != nil {
		return a.found, err
	}
	if err := a.readLag(ctx); err != nil {
		return a.found, err
	}
	if err := a.readTopics(ctx); err != nil {
		return a.found, err
	}
	a.readVendorLedgers()
	return a.found, nil
}

func (a *auditor) readCommits(ctx context.Context) error {
	for _, group := range a.groups {
		offsets, err := a.admin.FetchOffsets(ctx, group)
		if errors.Is(err, kerr.GroupIDNotFound) {
			continue // no member has joined the group yet
		}
		if err != nil {
			return fmt.Errorf("reading the commits of group %s: %w", group, err)
		}
		offsets.Each(func(committed kadm.OffsetResponse) {
			if a.found.commits[committed.Topic] == nil {
				a.found.commits[committed.Topic] = map[int32]int64{}
			}
			a.found.commits[committed.Topic][committed.Partition] = committed.At
		})
	}
	return nil
}

// readLag compares the ends of the source topics with the commits, if there are any.
func (a *auditor) readLag(ctx context.Context) error {
	ends, err := a.admin.ListEndOffsets(ctx, a.sourceTopics...)
	if err != nil {
		return fmt.Errorf("reading the ends of the source topics: %w", err)
	}
	clear(a.found.lag)
	ends.Each(func(end kadm.ListedOffset) {
		a.found.lag[end.Topic] += end.Offset - max(0, a.found.commits[end.Topic][end.Partition])
	})
	return nil
}

// readTopics reads the connector's topics up to their current ends.
func (a *auditor) readTopics(ctx context.Context) error {
	ends, err := a.admin.ListEndOffsets(ctx, a.topics...)
	if err != nil {
		return fmt.Errorf("reading the ends of the connector's topics: %w", err)
	}
	for {
		starts, err := a.admin.ListStartOffsets(ctx, a.topics...)
		if err != nil {
			return fmt.Errorf("reading the starts of the connector's topics: %w", err)
		}
		if a.hasReached(starts, ends) {
			return nil
		}
		if err := a.pollRecords(ctx); err != nil {
			return fmt.Errorf("reading the connector's topics: %w", err)
		}
	}
}

// pollTimeout limits one poll, because the records that it waits for may have been deleted.
const pollTimeout = 200 * time.Millisecond

func (a *auditor) pollRecords(ctx context.Context) error {
	pollCtx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	fetches := a.reader.PollFetches(pollCtx)
	fetches.EachRecord(a.addRecord)
	if err := fetches.Err0(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return ctx.Err()
}

// hasReached reports whether everything before the ends was read or has been deleted, as settled
// records are from retry topics.
func (a *auditor) hasReached(starts, ends kadm.ListedOffsets) bool {
	done := true
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		done = done && max(a.nextOffsets[end.Topic][end.Partition], start.Offset) >= end.Offset
	})
	return done
}

func (a *auditor) addRecord(found *kgo.Record) {
	a.nextOffsets[found.Topic][found.Partition] = found.Offset + 1
	if record.IsOwnershipMarker(found) {
		return
	}
	origin := record.ParseRetryHeaders(found).Origin.ID()
	if a.deadLetterTopics[found.Topic] {
		a.found.dead[origin]++
		return
	}
	a.found.retries[origin] = append(a.found.retries[origin], recordPosition{
		found.Topic, found.Partition, found.Offset,
	})
}

// readVendorLedgers reads what the vendors have accepted since the last call.
func (a *auditor) readVendorLedgers() {
	ledger := a.vendors.Ledger()
	for _, operation := range a.operations {
		read, index := a.entriesRead[operation], 0
		for entry := range ledger.AllEntries(operation) {
			if index++; index <= read {
				continue
			}
			key := vendorItem{operation, versionID(entry.ID, entry.Version)}
			got := a.found.accepted[key]
			if got.times == 0 {
				got.first = entry.At
			}
			got.times++
			a.found.accepted[key] = got
		}
		a.entriesRead[operation] = index
		calls := ledger.Calls(operation)
		a.found.calls[operation] = callCount{calls.Calls, calls.Accepted}
	}
}

// readUnexplained counts the acceptances that no lost response explains. It must be called when no
// call is in progress.
func (a *auditor) readUnexplained() {
	for _, operation := range a.operations {
		a.found.unexplained[operation] = len(a.vendors.Ledger().Unexplained(operation))
	}
}
