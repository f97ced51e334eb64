package notify

// PauseAfter is pauseAfter, for the tests.
var PauseAfter = pauseAfter
