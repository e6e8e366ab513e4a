//! PUT /v1/api/core/settings: the programme's settings; parts that are missing keep their value.
use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    Aggregate, Rejection, StreamRef,
    merchant::{UpdateProgramSettings, check},
};
use event_schemas::{CommandKey, merchant::ProgramSettings, record::Actor};
use http_edge::{Body, Merchant, Problem, ProblemBody, RequestContext, read_value};
use serde_json::{Map, Value};

use crate::{
    app::{App, origin},
    chance,
    commands::{Envelope, Lane, Outcome},
    problem::{key_fault, rejected},
    routes::replies::reply,
};

/// How often settings that somebody else changed meanwhile are merged anew.
const TRIES_MAX: u32 = 16;
/// The one part of the document whose names are the shop's own.
const ACTIONS: &str = "/actions";

/// Change the programme's settings.
#[utoipa::path(
    put, path = "/v1/api/core/settings", tag = "core", request_body = Object,
    responses(
        (status = 200, body = Object, description = "The whole document with its `version`"),
        (status = 409, body = ProblemBody, description = "`settings-changed`: others change them all the time; ask again"),
        (status = 422, body = ProblemBody, description = "`invalid-setting`, `invalid-field`")
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
    let content = app.keys.digest(merchant, "update-program-settings", &raw);
    let content = content.map_err(|error| key_fault(&error))?;
    let mut current = app.commander.glance(merchant, stream, settings).await?;
    let mut tries = 0;
    let (answered, now) = loop {
        let (before, version) = current.ok_or_else(|| rejected(&Rejection::UnknownMerchant))?;
        let settings_now = merged(&before, &patch)?;
        check(&settings_now).map_err(|rejection| rejected(&rejection))?;
        let envelope = Envelope {
            merchant,
            stream,
            command: UpdateProgramSettings { settings: settings_now, based_on: Some(version) }.into(),
            key: CommandKey(chance::id()),
            content,
            occurred_at: app.clock.now(),
            origin: origin(context, Actor::Merchant),
            lane: Lane::Interactive,
        };
        let (answered, now) = app.commander.ask(envelope, settings).await?;
        match answered.outcome {
            // Somebody else changed them meanwhile, through another node.
            Outcome::Rejected(Rejection::SettingsChanged) if tries < TRIES_MAX => current = now,
            Outcome::Rejected(rejection) => return Err(rejected(&rejection)),
            Outcome::Accepted | Outcome::Unchanged => break (answered, now),
        }
        tries += 1;
    };
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
        put(&mut document, &pointer, value);
        settings = read_value(document.clone()).map_err(|(at, expected)| {
            // What is wrong with a name stands at the object that has it.
            let at = if at.starts_with(&pointer) { at } else { pointer.clone() };
            Problem::invalid_field(at, expected)
        })?;
        let taken = serde_json::to_value(&settings).map_err(|error| Problem::internal(&error))?;
        let ignored = taken.pointer(&pointer).and_then(|taken| ignored(value, taken, &pointer));
        if let Some(pointer) = ignored {
            return Err(Problem::invalid_field(pointer, "is not a setting"));
        }
    }
    Ok(settings)
}

/// Puts the value at the pointer, whose last name may be new: a shop names actions of its own.
fn put(document: &mut Value, pointer: &str, value: &Value) {
    if let Some(place) = document.pointer_mut(pointer) {
        *place = value.clone();
    } else if let Some((parent, name)) = pointer.rsplit_once('/')
        && let Some(Value::Object(parent)) = document.pointer_mut(parent)
    {
        parent.insert(name.replace("~1", "/").replace("~0", "~"), value.clone());
    }
}

/// All leaves of the patch with their pointers; a field that the document does not have is refused.
fn collect<'a>(
    document: &Value,
    patch: &'a Map<String, Value>,
    under: &str,
    leaves: &mut Vec<(String, &'a Value)>,
) -> Result<(), Problem> {
    for (name, value) in patch {
        let pointer = format!("{under}/{}", escaped(name));
        match (document.get(name), value) {
            // The answer carries it; sending it back changes nothing.
            (None, _) if pointer == "/version" => {}
            (None, value) if under == ACTIONS => leaves.push((pointer, value)),
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

/// The first field that was given and is no setting, at the end of this pointer; inside lists, too.
fn ignored(given: &Value, taken: &Value, pointer: &str) -> Option<String> {
    match (given, taken) {
        (Value::Object(given), Value::Object(taken)) => given.iter().find_map(|(name, given)| {
            let pointer = format!("{pointer}/{}", escaped(name));
            match taken.get(name) {
                Some(taken) => ignored(given, taken, &pointer),
                None => Some(pointer),
            }
        }),
        (Value::Array(given), Value::Array(taken)) => {
            let pairs = given.iter().zip(taken).enumerate();
            pairs
                .into_iter()
                .find_map(|(place, (given, taken))| ignored(given, taken, &format!("{pointer}/{place}")))
        }
        _ => None,
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(patch: Value) -> Result<ProgramSettings, String> {
        let Value::Object(patch) = patch else { panic!("expected an object") };
        merged(&ProgramSettings::default(), &patch).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn missing_parts_keep_their_value() {
        let settings =
            patched(json!({"earn": {"points_per_unit": "2.5"}, "redeem": {"min_points": 10}})).unwrap();
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
            let problem = patched(patch).unwrap_err();
            assert!(problem.contains(&format!("pointer: {pointer:?}")), "{problem}");
            assert!(!problem.replace("secret~1x", "").contains("secret"), "{problem}");
        }
    }

    #[test]
    fn a_shop_names_actions_of_its_own() {
        let limit = json!({"count": 3, "per": "month"});
        let settings = patched(json!({"actions": {
            "instagram-follow": {"points": 50, "limit": limit},
            "birthday": {"points": 100},
        }}));
        let actions = serde_json::to_value(settings.unwrap().actions).unwrap();
        assert_eq!(actions["instagram-follow"], json!({"points": 50, "limit": limit}));
        assert_eq!(actions["birthday"], json!({"points": 100, "limit": {"count": 1, "per": "year"}}));
        for (patch, pointer) in [
            (json!({"actions": {"Not Kebab": {"points": 1, "limit": limit}}}), "/actions/Not Kebab"),
            (json!({"actions": {"visit": {"points": 1}}}), "/actions/visit/limit"),
            (json!({"actions": {"visit": {"points": 1, "limit": limit, "x": 1}}}), "/actions/visit/x"),
            (json!({"actions": {"birthday": {"limit": {"per": "week"}}}}), "/actions/birthday/limit/per"),
        ] {
            let problem = patched(patch).unwrap_err();
            assert!(problem.contains(&format!("pointer: {pointer:?}")), "{problem}");
        }
    }

    #[test]
    fn what_does_not_fit_inside_a_list_is_named_with_what_was_expected() {
        let bonus = |more: (&str, Value)| {
            let mut bonus = json!({"id": "double", "multiplier": "2"});
            bonus[more.0] = more.1;
            patched(json!({"earn": {"bonuses": [bonus]}})).unwrap_err()
        };
        for (problem, pointer, expected) in [
            (bonus(("starts_at", json!("soon"))), "/earn/bonuses/0/starts_at", "expected a time such as"),
            (
                bonus(("multiplier", json!("-2"))),
                "/earn/bonuses/0/multiplier",
                "expected a decimal number from 0",
            ),
            (bonus(("product_ids", json!([7]))), "/earn/bonuses/0/product_ids/0", "expected a string"),
        ] {
            assert!(problem.contains(&format!("pointer: {pointer:?}, detail: \"{expected}")), "{problem}");
        }
    }

    #[test]
    fn a_name_inside_a_bonus_that_is_no_setting_is_refused() {
        let bonus = json!({"id": "double", "multiplier": "2", "product_ids": ["7"]});
        assert_eq!(patched(json!({"earn": {"bonuses": [bonus]}})).unwrap().earn.bonuses.len(), 1);
        // A bonus for one product that became one for the whole order would be dear.
        let typo = json!({"id": "triple", "multiplier": "3", "product_id": ["7"]});
        let problem = patched(json!({"earn": {"bonuses": [bonus, typo]}})).unwrap_err();
        assert!(problem.contains("pointer: \"/earn/bonuses/1/product_id\""), "{problem}");
    }
}
