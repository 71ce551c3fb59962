package pipeline

import "testing"

func TestInstancesTogetherKeepToTheAccountsRate(t *testing.T) {
	for _, tt := range []struct {
		mine, all int
		want      float64
	}{
		{0, 0, 1}, {0, 8, 1}, {8, 8, 1}, {2, 8, 0.25}, {9, 8, 1},
	} {
		if got := share(tt.mine, tt.all); got != tt.want {
			t.Errorf("%d of %d: %v, want %v", tt.mine, tt.all, got, tt.want)
		}
	}
	sum := 0.0
	for _, mine := range []int{3, 3, 2} {
		sum += share(mine, 8)
	}
	if sum != 1 {
		t.Errorf("three instances take %v of the rate", sum)
	}
}
