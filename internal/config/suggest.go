package config

import (
	"slices"
	"strings"
)

// didYouMean returns ", did you mean x?" for the most similar known name, or the list of known
// names if none is similar.
func didYouMean(name string, known []string) string {
	best, distance := "", len(name)/3+2
	for _, k := range known {
		if d := editDistance(strings.ToLower(name), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return ", did you mean " + best + "?"
	}
	if len(known) == 0 {
		return ""
	}
	return "; known are " + strings.Join(known, ", ")
}

// editDistance returns the Levenshtein distance in bytes. Texts that are too long to be a typo get
// the maximum.
func editDistance(a, b string) int {
	const maxLength = 64
	if max(len(a), len(b)) > maxLength {
		return maxLength
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(before[j]+change, before[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
