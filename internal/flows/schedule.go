package flows

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/workflows"
)

// catchUp is how far back missed days are still reconciled.
const catchUp = 30 * 24 * time.Hour

// ReconcileDay runs ReconcileDay for one day, or joins the run that is under way,
// and waits for what it comes to. [ErrStillWorking] where ctx ends first.
func (f *Flows) ReconcileDay(ctx context.Context, in workflows.ReconcileDayInput) (workflows.ReconcileDayResult, error) {
	id := workflows.ReconcileWorkflowID(in.Day)
	var result workflows.ReconcileDayResult
	run, err := f.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.TaskQueue, StaticSummary: "reconciles " + in.Day,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, workflows.ReconcileDayName, in)
	if err == nil {
		err = run.Get(ctx, &result)
	}
	return result, f.translate(ctx, id, err, ErrEnded)
}

// ReconcileDaily makes the schedule that reconciles each day on the next one, or
// brings it to an hour and minute in Puerto Rico and to an input, which names no
// day. Any number of workers may do so at once.
func (f *Flows) ReconcileDaily(ctx context.Context, at time.Time, in workflows.ReconcileDayInput) error {
	spec := client.ScheduleSpec{
		Calendars: []client.ScheduleCalendarSpec{{
			Hour: []client.ScheduleRange{{Start: at.Hour()}}, Minute: []client.ScheduleRange{{Start: at.Minute()}},
		}},
		TimeZoneName: "America/Puerto_Rico",
	}
	action := &client.ScheduleWorkflowAction{
		ID: workflows.ReconcileSchedule, Workflow: workflows.ReconcileDayName, Args: []any{in}, TaskQueue: workflows.TaskQueue,
	}
	_, err := f.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: workflows.ReconcileSchedule, Spec: spec, CatchupWindow: catchUp,
		// Each run has a day of its own, so one that is late is in nobody's way.
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL,
		Action:  action,
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return f.changeSchedule(ctx, workflows.ReconcileSchedule, false, func(s *client.Schedule) { s.Spec, s.Action = &spec, action })
	}
	if err != nil {
		return fmt.Errorf("make the schedule %s: %w", workflows.ReconcileSchedule, err)
	}
	return nil
}

// Sweep makes the schedule that starts Sweep, or brings it to an input, and has it
// start one now. Any number of workers may do so at once.
func (f *Flows) Sweep(ctx context.Context, in workflows.SweepInput) error {
	action := &client.ScheduleWorkflowAction{
		ID: workflows.SweepSchedule, Workflow: workflows.SweepName, Args: []any{in}, TaskQueue: workflows.TaskQueue,
	}
	_, err := f.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: workflows.SweepSchedule, Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, Action: action, TriggerImmediately: true,
		Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: workflows.SweepEvery}}},
	})
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return err
	}
	if err := f.changeSchedule(ctx, workflows.SweepSchedule, false, func(s *client.Schedule) { s.Action = action }); err != nil {
		return err
	}
	return f.client.ScheduleClient().GetHandle(ctx, workflows.SweepSchedule).Trigger(ctx, client.ScheduleTriggerOptions{})
}

// PauseReconcile pauses the schedule, where there is one.
func (f *Flows) PauseReconcile(ctx context.Context) error {
	err := f.changeSchedule(ctx, workflows.ReconcileSchedule, true, func(*client.Schedule) {})
	var none *serviceerror.NotFound
	if errors.As(err, &none) {
		return nil
	}
	return err
}

func (f *Flows) changeSchedule(ctx context.Context, id string, paused bool, change func(*client.Schedule)) error {
	schedule := f.client.ScheduleClient().GetHandle(ctx, id)
	err := schedule.Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			changed := in.Description.Schedule
			change(&changed)
			if paused != changed.State.Paused {
				changed.State.Paused = paused
				changed.State.Note = "paused or resumed by COBRO_RECONCILE_AT"
			}
			return &client.ScheduleUpdate{Schedule: &changed}, nil
		},
	})
	if err != nil {
		return fmt.Errorf("change the schedule %s: %w", id, err)
	}
	return nil
}
