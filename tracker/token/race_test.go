//go:build race

package token

// raceDetector says that sync.Pool drops things at random, which makes counts of
// allocations differ.
const raceDetector = true
