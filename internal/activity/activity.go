// Package activity defines what workflows may ask of the world outside: each
// activity once, with its registered name, its retry class, and the types that
// go in and come out.
//
// A workflow calls a definition ([Def.Do], [Def.Start]), and a worker binds the
// function that does the work to it ([Def.Bind]), so that a wrong type does not
// compile and registration cannot miss one. The functions are in the packages
// below: gateway calls ATH Móvil, records writes the store, reconcile compares
// the books with the gateway's report.
//
// Money moves in two activities, [Authorize] and [Refund]. Neither is ever
// retried blindly: an outcome that is not known is reported as such, and the
// workflow looks before it decides.
package activity

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	sdk "go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Class says how an activity may be tried again. Every definition has one.
type Class string

// The retry classes.
const (
	// ClassRead is retried for ever, with backoff: looking costs nothing.
	ClassRead Class = "read"
	// ClassCreate is one attempt. The workflow tries again where the request was
	// surely not sent, and once where its answer was lost.
	ClassCreate Class = "create"
	// ClassMoveMoney is one attempt. Its outcome is done, declined or unknown, and
	// unknown leads to a look, never to a blind second try.
	ClassMoveMoney Class = "moveMoney"
	// ClassAsk is one attempt, followed by a look.
	ClassAsk Class = "ask"
	// ClassRecord is an idempotent write or read of the store, or of what the
	// worker remembers, as a local activity; [Def.Do] repeats it until it succeeds.
	ClassRecord Class = "record"
	// ClassReport is tried three times and then set aside, visibly: the gateway's
	// report is known to time out, and the rest of the day goes on without it.
	ClassReport Class = "report"
)

// Def defines one activity. Its name is for ever: histories hold it.
type Def[In, Out any] struct {
	name  string
	class Class
}

// Name is the name under which the activity is registered.
func (d Def[In, Out]) Name() string { return d.name }

// Class is the activity's retry class.
func (d Def[In, Out]) Class() Class { return d.class }

// Definition is a [Def] without its types, for lists.
type Definition interface {
	Name() string
	Class() Class
}

// Binding is a definition with the function that does its work.
type Binding struct {
	Definition
	function any
}

// Bind lets a function do the activity's work. An error of [ClassRecord] then says
// whether trying again can help.
func (d Def[In, Out]) Bind(do func(context.Context, In) (Out, error)) Binding {
	if d.class != ClassRecord {
		return Binding{Definition: d, function: do}
	}
	return Binding{Definition: d, function: func(ctx context.Context, in In) (Out, error) {
		out, err := do(ctx, in)
		return out, lasting(err)
	}}
}

// typeUnreadable is the type of an error about something stored that cannot be
// read, today and tomorrow.
const typeUnreadable = "unreadable"

// lasting marks an error that no further try can heal: something is stored that
// does not decode. The workflow task fails then, visibly, instead of repeating
// the activity forever.
func lasting(err error) error {
	var (
		syntax *json.SyntaxError
		typed  *json.UnmarshalTypeError
	)
	if errors.As(err, &syntax) || errors.As(err, &typed) {
		return temporal.NewNonRetryableApplicationError("something stored cannot be read", typeUnreadable, err)
	}
	return err
}

// Registry is the part of a Temporal worker, or of Temporal's test environment,
// that takes activities.
type Registry interface {
	RegisterActivityWithOptions(a any, options sdk.RegisterOptions)
}

// Register registers activities under their names.
func Register(r Registry, bindings ...Binding) {
	for _, b := range bindings {
		r.RegisterActivityWithOptions(b.function, sdk.RegisterOptions{Name: b.Name()})
	}
}

// None is the result of an activity that has nothing to say.
type None struct{}

// Future is an activity's result on its way.
type Future[Out any] struct{ workflow.Future }

// Result waits for the result.
func (f Future[Out]) Result(ctx workflow.Context) (Out, error) {
	var out Out
	err := f.Get(ctx, &out)
	return out, err
}

// reportTries is how often an activity of [ClassReport] is tried.
const reportTries = 3

// Start begins the activity with the timeouts and the summary of ctx's activity
// options (see [workflow.WithActivityOptions]); how it is retried is its class's,
// and only the pauses of [ClassRead] and [ClassReport] come from there too. An
// activity of [ClassRecord] has no Start.
func (d Def[In, Out]) Start(ctx workflow.Context, in In) Future[Out] {
	options := workflow.GetActivityOptions(ctx)
	switch d.class {
	case ClassRead:
	case ClassReport:
		options.RetryPolicy = &temporal.RetryPolicy{InitialInterval: options.RetryPolicy.InitialInterval, MaximumAttempts: reportTries}
	case ClassCreate, ClassMoveMoney, ClassAsk:
		return d.Once(ctx, in)
	case ClassRecord:
		panic("activity " + d.name + " is local: it has no Start")
	default:
		panic("activity " + d.name + " has no class")
	}
	return d.execute(ctx, options, in)
}

// Once begins a single attempt, whatever the class. One of [ClassRead] is for
// somebody who waits: an answer that does not come tells nothing.
func (d Def[In, Out]) Once(ctx workflow.Context, in In) Future[Out] {
	options := workflow.GetActivityOptions(ctx)
	options.RetryPolicy = &temporal.RetryPolicy{MaximumAttempts: 1}
	return d.execute(ctx, options, in)
}

func (d Def[In, Out]) execute(ctx workflow.Context, options workflow.ActivityOptions, in In) Future[Out] {
	return Future[Out]{workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), d.name, in)}
}

// Do runs the activity and waits for its result. One of [ClassRecord] is
// repeated until it succeeds or ctx is canceled: between two attempts the
// workflow task ends, so that a store that is away delays nothing else. What can
// never succeed, such as a stored payload that does not decode, fails the
// workflow task, where people see it, and goes on once that is fixed.
func (d Def[In, Out]) Do(ctx workflow.Context, in In) (Out, error) {
	if d.class != ClassRecord {
		return d.Start(ctx, in).Result(ctx)
	}
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: recordTimeout,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	for pause := recordPause; ; pause = min(2*pause, recordPauseMax) {
		out, err := Future[Out]{workflow.ExecuteLocalActivity(ctx, d.name, in)}.Result(ctx)
		switch {
		case err == nil:
			return out, nil
		case hopeless(err):
			panic(err)
		}
		workflow.GetLogger(ctx).Warn("store write failed; it is tried again", "activity", d.name, "error", err)
		if err := workflow.Sleep(ctx, pause); err != nil {
			return out, err
		}
	}
}

const (
	// recordTimeout bounds one local write. It is short, because a running local
	// activity holds back everything else that the workflow task decided.
	recordTimeout = 3 * time.Second
	// recordPause is the first pause between two tries, and recordPauseMax the
	// longest.
	recordPause    = time.Second
	recordPauseMax = time.Minute
)

// hopeless reports whether trying again cannot help: the activity said so, it
// panicked, or what it answered does not decode.
func hopeless(err error) bool {
	var (
		application *temporal.ApplicationError
		failed      *temporal.ActivityError
		timeout     *temporal.TimeoutError
		canceled    *temporal.CanceledError
		panicked    *temporal.PanicError
	)
	switch {
	case errors.As(err, &application):
		return application.NonRetryable()
	case errors.As(err, &panicked):
		return true
	case errors.As(err, &failed), errors.As(err, &timeout), errors.As(err, &canceled):
		return false
	default: // no failure of the activity, so one of reading its result
		return true
	}
}
