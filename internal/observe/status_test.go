package observe

import (
	"encoding/json"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/record"
)

// reportedStatus is the snapshot two seconds after reportEverything.
const reportedStatus = `{
 "pipeline": "p",
 "started": true,
 "hold": {
  "reason": "registry",
  "since": "2000-01-01T00:00:00Z"
 },
 "source": {
  "records": 10,
  "bytes": 1000
 },
 "retry": {
  "records": 2,
  "bytes": 200
 },
 "delivered": 5,
 "retried": 4,
 "skipped": 6,
 "dead": {
  "rejected": 3,
  "unmapped": 1
 },
 "skipped_settled": {
  "commit_metadata": 9
 },
 "possible_duplicates": 7,
 "released": 11,
 "commit_failures": 1,
 "produce_failures": {
  "sluice.purchases.dlq": 1
 },
 "in_flight": 12,
 "lag_records": 150,
 "oldest_unsettled_seconds": 6,
 "operations": [
  {
   "operation": "crmcom.purchases",
   "delivered": 5,
   "retried": 4,
   "skipped": 0,
   "dead": {
    "rejected": 3
   },
   "calls": {
    "delivered": 1,
    "unavailable": 1
   },
   "possible_duplicates": 7,
   "breaker": "open",
   "hold": {
    "reason": "unavailable",
    "since": "2000-01-01T00:00:00Z"
   }
  }
 ],
 "partitions": [
  {
   "topic": "purchases",
   "partition": 2,
   "lag_records": 50,
   "in_flight": 0,
   "oldest_unsettled_seconds": 0,
   "stuck_seconds": 2
  },
  {
   "topic": "purchases",
   "partition": 10,
   "lag_records": 100,
   "in_flight": 12,
   "oldest_unsettled_seconds": 6,
   "stuck_seconds": 2
  }
 ]
}`

func TestSnapshotShowsWhatTheMetricsShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewRegistry(prometheus.NewRegistry()).Pipeline("p")
		reportEverything(p)
		<-time.After(2 * time.Second)
		got, err := json.MarshalIndent(p.Snapshot(), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if string(withUTCTimes(t, got)) != reportedStatus {
			t.Errorf("got %s, want %s", got, reportedStatus)
		}
	})
}

// withUTCTimes converts the times of a status to UTC, whatever the machine's time zone.
func withUTCTimes(t *testing.T, body []byte) []byte {
	t.Helper()
	var s PipelineStatus
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatal(err)
	}
	s.Hold.Since = s.Hold.Since.UTC()
	for _, o := range s.Operations {
		o.Hold.Since = o.Hold.Since.UTC()
	}
	out, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestHoldKeepsTheTimeWhenItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewRegistry(prometheus.NewRegistry()).Pipeline("p")
		began := time.Now()
		p.SetHold("", HoldRegistry)
		<-time.After(time.Minute)
		p.SetHold("", HoldRegistry)
		if got := p.Snapshot().Hold; got == nil || !got.Since.Equal(began) {
			t.Errorf("got %+v, want since %v", got, began)
		}
		p.SetHold("", HoldFlood)
		if got := p.Snapshot().Hold; got == nil || got.Reason != HoldFlood || !got.Since.Equal(began.Add(time.Minute)) {
			t.Errorf("got %+v, want flood since %v", got, began.Add(time.Minute))
		}
		p.SetHold("", "")
		if got := p.Snapshot().Hold; got != nil {
			t.Errorf("got %+v, want none", got)
		}
	})
}

// A transient hold must not hide one that needs an operator.
func TestPartitionHoldIsShownBeforeOthers(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	p := NewRegistry(reg).Pipeline("p")
	p.SetPartitionHold(HoldOffsetLost)
	p.SetHold("", HoldRegistry)
	if got := p.Snapshot().Hold; got == nil || got.Reason != HoldOffsetLost {
		t.Errorf("beside another hold: got %+v, want offset_lost", got)
	}
	p.SetHold("", "")
	if got := p.Snapshot().Hold; got == nil || got.Reason != HoldOffsetLost ||
		gatherSeries(t, reg)["sluice_hold{operation= pipeline=p reason=offset_lost}"] != 1 {
		t.Errorf("after another hold: got %+v, want offset_lost", got)
	}
	p.SetHold("", HoldRegistry)
	p.SetWriteHold(HoldUnwritable)
	if got := p.Snapshot().Hold; got == nil || got.Reason != HoldOffsetLost {
		t.Errorf("beside two other holds: got %+v, want offset_lost", got)
	}
	p.SetPartitionHold("")
	if got := p.Snapshot().Hold; got == nil || got.Reason != HoldUnwritable {
		t.Errorf("got %+v, want unwritable", got)
	}
	p.SetWriteHold("")
	if got := p.Snapshot().Hold; got == nil || got.Reason != HoldRegistry {
		t.Errorf("got %+v, want registry", got)
	}
}

// Records of last week's backlog are old, but their partition is not stuck. It is stuck while the
// same record remains the oldest unsettled one, even if the lag behind it changes.
func TestStuckIsTheTimeWithoutProgressAndNotTheAge(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for name, c := range map[string]struct {
		report func(p *Pipeline, tick int)
		want   time.Duration // after 100 ticks of 5 s
	}{
		"a backlog that is processed": {func(p *Pipeline, tick int) {
			p.ReportPartition("t", 0, 1000, week-time.Duration(tick)*time.Hour, 5)
		}, 0},
		"a backlog of one timestamp": {func(p *Pipeline, tick int) {
			p.ReportPartition("t", 0, int64(1000-tick), week+time.Duration(tick)*5*time.Second, 5)
		}, 0},
		"an old record that remains the oldest": {func(p *Pipeline, tick int) {
			p.ReportPartition("t", 0, int64(1000+tick), week+time.Duration(tick)*5*time.Second, 5)
		}, 500 * time.Second},
		"a young record that remains the oldest": {func(p *Pipeline, tick int) {
			p.ReportPartition("t", 0, 1, time.Duration(tick)*5*time.Second+1, 1)
		}, 500*time.Second + 1},
		"nothing to do": {func(p *Pipeline, tick int) { p.ReportPartition("t", 0, 0, 0, 0) }, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := NewRegistry(prometheus.NewRegistry()).Pipeline("p")
			c.report(p, 0)
			for tick := 1; tick <= 100; tick++ {
				<-time.After(5 * time.Second)
				c.report(p, tick)
			}
			stuckSeconds := func() float64 { return p.Snapshot().Partitions[0].StuckSeconds }
			if got := stuckSeconds(); got > c.want.Seconds() || got < (c.want-1).Seconds() {
				t.Errorf("%s: got stuck for %v s, want %v", name, got, c.want)
			}
			<-time.After(time.Hour)
			if got := stuckSeconds(); got < 3600 {
				t.Errorf("%s: got stuck for %v s after an hour without reports, want at least 3600", name, got)
			}
		})
	}
}

func TestForgottenPartitionIsNotInTheSnapshot(t *testing.T) {
	p := NewRegistry(prometheus.NewRegistry()).Pipeline("p")
	p.ReportPartition("t", 0, 5, time.Second, 1)
	p.ForgetPartition("t", 0)
	p.ForgetPartition("t", 1)
	if s := p.Snapshot(); len(s.Partitions) != 0 || s.LagRecords != 0 {
		t.Errorf("got partitions %+v and lag %d, want none", s.Partitions, s.LagRecords)
	}
}

func TestRecordsWithoutOperationCountInTheTotalsOnly(t *testing.T) {
	p := NewRegistry(prometheus.NewRegistry()).Pipeline("p")
	p.RecordsSettled("", record.DispositionDead, record.CausePoison, 2)
	s := p.Snapshot()
	if !maps.Equal(s.Dead, map[string]uint64{"poison": 2}) || len(s.Operations) != 0 {
		t.Errorf("got dead %v and operations %v, want 2 poison and no operation", s.Dead, s.Operations)
	}
}
