//! PUT /v1/api/core/settings: the programme's settings; parts that are missing keep their value.
use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    Aggregate, Rejection, StreamRef,
    merchant::{UpdateProgramSettings, check},
};
use event_schemas::{CommandKey, merchant::ProgramSettings, record::Actor};
use http_edge::{Body, Merchant, Problem, ProblemBody, RequestContext};
use serde_json::{Map, Value};

use crate::{
    app::{App, origin},
    chance,
    commands::{Envelope, Lane, Outcome},
    problem::{key_fault, rejected},
    routes::replies::reply,
};

/// Change the programme's settings.
#[utoipa::path(
    put, path = "/v1/api/core/settings", tag = "core", request_body = Object,
    responses(
        (status = 200, body = Object, description = "The whole document with its `version`"),
        (status = 422, body = ProblemBody, description = "`unsupported-setting`, `invalid-setting`, `invalid-field`")
    )
)]
pub(crate) async fn update(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    Body(patch, raw): Body<Map<String, Value>>,
) -> Result<Response, Problem> {
    let merchant = scope.merchant();
    app.shop(merchant)?;
    let _turn = app.settings_turn.lock().await;
    let stream = StreamRef::merchant(merchant);
    let current = app.commander.glance(merchant, stream, settings).await?;
    let (current, _) = current.ok_or_else(|| rejected(&Rejection::UnknownMerchant))?;
    let settings_now = merged(&current, &patch)?;
    check(&settings_now).map_err(|rejection| rejected(&rejection))?;
    unsupported(&settings_now)?;
    let content = app.keys.digest(merchant, "update-program-settings", &raw);
    let envelope = Envelope {
        merchant,
        stream,
        command: UpdateProgramSettings { settings: settings_now }.into(),
        key: CommandKey(chance::id()),
        content: content.map_err(|error| key_fault(&error))?,
        occurred_at: app.clock.now(),
        origin: origin(context, Actor::Merchant),
        lane: Lane::Interactive,
    };
    let (answered, now) = app.commander.ask(envelope, settings).await?;
    if let Outcome::Rejected(rejection) = answered.outcome {
        return Err(rejected(&rejection));
    }
    app.shops.wait_until(answered.at).await?;
    let (settings, version) = now.ok_or_else(|| rejected(&Rejection::UnknownMerchant))?;
    let mut document = serde_json::to_value(settings).map_err(|error| Problem::internal(&error))?;
    document["version"] = version.into();
    Ok(reply(StatusCode::OK, document, false))
}

fn settings(aggregate: &Aggregate) -> Option<(ProgramSettings, u32)> {
    match aggregate {
        Aggregate::Merchant(state) if state.known() => {
            Some((state.settings().clone(), state.settings_version()))
        }
        _ => None,
    }
}

/// The current settings with the patch's leaves put in one by one, so that the first one that does not fit is named.
fn merged(current: &ProgramSettings, patch: &Map<String, Value>) -> Result<ProgramSettings, Problem> {
    let mut document = serde_json::to_value(current).map_err(|error| Problem::internal(&error))?;
    let mut leaves = Vec::new();
    collect(&document, patch, "", &mut leaves)?;
    let mut settings = current.clone();
    for (pointer, value) in leaves {
        if let Some(place) = document.pointer_mut(&pointer) {
            *place = value.clone();
        }
        settings = serde_json::from_value(document.clone())
            .map_err(|error| Problem::invalid_field(pointer, expectation(&error.to_string())))?;
    }
    Ok(settings)
}

/// What was expected; the rest of the message may quote the value.
fn expectation(message: &str) -> String {
    message.find("expected").map_or("is not as expected", |start| &message[start..]).to_owned()
}

/// All leaves of the patch with their pointers; a field that the document does not have is refused.
fn collect<'a>(
    document: &Value,
    patch: &'a Map<String, Value>,
    under: &str,
    leaves: &mut Vec<(String, &'a Value)>,
) -> Result<(), Problem> {
    for (name, value) in patch {
        let pointer = format!("{under}/{}", name.replace('~', "~0").replace('/', "~1"));
        match (document.get(name), value) {
            // The answer carries it; sending it back changes nothing.
            (None, _) if pointer == "/version" => {}
            (None, _) => return Err(Problem::invalid_field(pointer, "is not a setting")),
            (Some(inner @ Value::Object(_)), Value::Object(patch)) => {
                collect(inner, patch, &pointer, leaves)?;
            }
            (Some(Value::Object(_)), _) => return Err(Problem::invalid_field(pointer, "expected an object")),
            (Some(_), value) => leaves.push((pointer, value)),
        }
    }
    Ok(())
}

/// Settings whose rules do not exist yet; the policies among them are refused by the domain.
fn unsupported(settings: &ProgramSettings) -> Result<(), Problem> {
    let fixed = ProgramSettings::default();
    let unsupported = [
        ("/earn/pending/days", settings.earn.pending.days != fixed.earn.pending.days),
        ("/earn/excluded_tags", !settings.earn.excluded_tags.is_empty()),
        ("/expiry/months", settings.expiry.months != fixed.expiry.months),
        (
            "/redeem/reinstate_grace_days",
            settings.redeem.reinstate_grace_days != fixed.redeem.reinstate_grace_days,
        ),
    ];
    match unsupported.into_iter().find(|(_, at_fault)| *at_fault) {
        Some((pointer, _)) => Err(rejected(&Rejection::UnsupportedSetting { pointer: pointer.to_owned() })),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn put(patch: Value) -> Result<ProgramSettings, String> {
        let Value::Object(patch) = patch else { panic!("expected an object") };
        merged(&ProgramSettings::default(), &patch)
            .and_then(|settings| unsupported(&settings).map(|()| settings))
            .map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn missing_parts_keep_their_value() {
        let settings =
            put(json!({"earn": {"points_per_unit": "2.5"}, "redeem": {"min_points": 10}})).unwrap();
        assert_eq!(settings.earn.points_per_unit.to_string(), "2.5");
        assert_eq!((settings.redeem.min_points, settings.redeem.points_per_unit), (10, 100));
    }

    #[test]
    fn what_does_not_fit_is_named_by_a_pointer_without_its_value() {
        for (patch, pointer) in [
            (json!({"earn": {"points_per_unit": "secret"}}), "/earn/points_per_unit"),
            (json!({"earn": {"include_tax": "secret"}}), "/earn/include_tax"),
            (json!({"earn": "secret"}), "/earn"),
            (json!({"earn": {"secret/x": 1}}), "/earn/secret~1x"),
            (json!({"redeem": {"min_points": -1}}), "/redeem/min_points"),
            (json!({"expiry": {"mode": "secret"}}), "/expiry/mode"),
        ] {
            let problem = put(patch).unwrap_err();
            assert!(problem.contains(&format!("pointer: {pointer:?}")), "{problem}");
            assert!(!problem.replace("secret~1x", "").contains("secret"), "{problem}");
        }
    }

    #[test]
    fn settings_whose_rules_do_not_exist_yet_are_refused() {
        for (patch, pointer) in [
            (json!({"earn": {"pending": {"days": 3}}}), "/earn/pending/days"),
            (json!({"earn": {"excluded_tags": ["sale"]}}), "/earn/excluded_tags"),
            (json!({"expiry": {"months": 6}}), "/expiry/months"),
            (json!({"redeem": {"reinstate_grace_days": 1}}), "/redeem/reinstate_grace_days"),
        ] {
            let problem = put(patch).unwrap_err();
            assert!(problem.contains("unsupported-setting") && problem.contains(pointer), "{problem}");
        }
    }
}
