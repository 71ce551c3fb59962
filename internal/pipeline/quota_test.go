package pipeline

import "testing"

func TestQuotasAddUpToRateLimit(t *testing.T) {
	for _, tt := range []struct {
		owned, total int
		want         float64
	}{
		{0, 0, 1}, {0, 8, 1}, {8, 8, 1}, {2, 8, 0.25}, {9, 8, 1},
	} {
		if got := quotaShare(tt.owned, tt.total); got != tt.want {
			t.Errorf("%d of %d: got %v, want %v", tt.owned, tt.total, got, tt.want)
		}
	}
	sum := 0.0
	for _, owned := range []int{3, 3, 2} {
		sum += quotaShare(owned, 8)
	}
	if sum != 1 {
		t.Errorf("got %v of the rate limit for three instances, want all of it", sum)
	}
}
