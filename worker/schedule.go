package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/workflows"
)

const (
	defaultReconcileAt = settings.DefaultReconcileAt
	reconcileOff       = "off"
	// catchUp is how far back missed days are still reconciled.
	catchUp = 30 * 24 * time.Hour
)

// reconcileTime reads Config.ReconcileAt; off is true where it never happens.
func reconcileTime(text string) (at time.Time, off bool, err error) {
	text = cmp.Or(text, defaultReconcileAt)
	if text == reconcileOff {
		return time.Time{}, true, nil
	}
	at, err = time.Parse("15:04", text)
	return at, false, err
}

// ensureSchedule makes the schedule, or brings it to the time that is set. Any
// number of workers may do so at once. Where it is off, an existing one is
// paused.
func ensureSchedule(ctx context.Context, schedules client.ScheduleClient, when string, in workflows.ReconcileDayInput) error {
	at, off, err := reconcileTime(when)
	if err != nil {
		return err
	}
	spec := client.ScheduleSpec{
		Calendars: []client.ScheduleCalendarSpec{{
			Hour: []client.ScheduleRange{{Start: at.Hour()}}, Minute: []client.ScheduleRange{{Start: at.Minute()}},
		}},
		TimeZoneName: "America/Puerto_Rico",
	}
	action := &client.ScheduleWorkflowAction{
		ID: workflows.ReconcileSchedule, Workflow: workflows.ReconcileDayName, Args: []any{in}, TaskQueue: workflows.TaskQueue,
	}
	if !off {
		_, err = schedules.Create(ctx, client.ScheduleOptions{
			ID: workflows.ReconcileSchedule, Spec: spec, CatchupWindow: catchUp,
			// Each run has a day of its own, so one that is late is in nobody's way.
			Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL,
			Action:  action,
		})
		if err == nil {
			return nil
		}
		if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
			return fmt.Errorf("make the schedule %s: %w", workflows.ReconcileSchedule, err)
		}
	}
	return updateSchedule(ctx, schedules.GetHandle(ctx, workflows.ReconcileSchedule), spec, action, off)
}

// updateSchedule brings a schedule to the time, the input and the being paused
// that are set.
func updateSchedule(ctx context.Context, schedule client.ScheduleHandle, spec client.ScheduleSpec, action *client.ScheduleWorkflowAction, off bool) error {
	err := schedule.Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			changed := in.Description.Schedule
			if !off {
				changed.Spec, changed.Action = &spec, action
			}
			if off != changed.State.Paused {
				changed.State.Paused = off
				changed.State.Note = "paused or resumed by COBRO_RECONCILE_AT"
			}
			return &client.ScheduleUpdate{Schedule: &changed}, nil
		},
	})
	var none *serviceerror.NotFound
	if off && errors.As(err, &none) { // there is none to pause
		return nil
	}
	if err != nil {
		return fmt.Errorf("change the schedule %s: %w", workflows.ReconcileSchedule, err)
	}
	return nil
}
