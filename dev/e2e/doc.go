// Package e2e holds the stories: what a merchant and a customer do and see,
// over HTTP, with every real part running in a process of its own and the
// simulator's books as the judge of money.
package e2e
