package demo

import "sync"

// missingAccounts has the accounts that CRM.COM does not have at first. An account whose purchase
// is expected to be delivered exists from the second lookup on; all others never exist. It is safe
// for concurrent use.
type missingAccounts struct {
	mu       sync.Mutex
	expected map[string]expectation // by account number
	refused  map[string]int
}

func newMissingAccounts() *missingAccounts {
	return &missingAccounts{expected: map[string]expectation{}, refused: map[string]int{}}
}

// addAccount registers a missing account. It must be called before the account's purchase is
// produced.
func (a *missingAccounts) addAccount(number string, expected expectation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expected[number] = expected
}

// accountExists reports whether CRM.COM has the account now.
func (a *missingAccounts) accountExists(number string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	expected, missing := a.expected[number]
	if !missing || expected == expectDelivered && a.refused[number] > 0 {
		return true
	}
	a.refused[number]++
	return false
}

// countRefusals returns how often accounts with the expectation were found missing.
func (a *missingAccounts) countRefusals(expected expectation) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	total := 0
	for number, count := range a.refused {
		if a.expected[number] == expected {
			total += count
		}
	}
	return total
}
