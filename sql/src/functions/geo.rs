//! GEO_DISTANCE: the length of the great circle between two points, by the haversine formula.
//!
//! The earth is a sphere of 6,371 km or 3,959 miles, as in ksqlDB.

use arrow::array::ArrayRef;
use arrow::datatypes::Float64Type;

use super::columns::{self, Doubles, Texts};
use super::declare::{DOUBLE, TEXT, function, overload};
use super::signature::{Call, ScalarFunction};
use crate::catalog::SqlType;

const EARTH_RADIUS_KM: f64 = 6371.0;
const EARTH_RADIUS_MILES: f64 = 3959.0;

/// The functions of this file.
pub(crate) fn functions() -> Vec<ScalarFunction> {
    vec![function(
        "GEO_DISTANCE",
        "The distance of two points (latitude, longitude, latitude, longitude, in degrees) in kilometres, or in the unit given, KM or MI.",
        [
            overload([DOUBLE, DOUBLE, DOUBLE, DOUBLE], SqlType::Double, distances),
            overload([DOUBLE, DOUBLE, DOUBLE, DOUBLE, TEXT], SqlType::Double, distances),
        ],
    )]
}

fn distances(call: &Call<'_>) -> Result<ArrayRef, String> {
    let degrees: [Doubles<'_>; 4] =
        [columns::read(call, 0)?, columns::read(call, 1)?, columns::read(call, 2)?, columns::read(call, 3)?];
    let units: Option<Texts<'_>> = if call.arguments.len() > 4 { Some(columns::read(call, 4)?) } else { None };
    columns::write_values::<Float64Type>(call.rows, |row| {
        let [Some(from_latitude), Some(from_longitude), Some(to_latitude), Some(to_longitude)] =
            degrees.map(|degrees| degrees.get(row))
        else {
            return Ok(None);
        };
        let radius = radius(units.as_ref().and_then(|units| units.get(row)))?;
        let from = point(from_latitude, from_longitude)?;
        let to = point(to_latitude, to_longitude)?;
        Ok(Some(central_angle(from, to) * radius))
    })
}

fn radius(unit: Option<&str>) -> Result<f64, String> {
    let Some(unit) = unit else { return Ok(EARTH_RADIUS_KM) };
    let is_one_of = |names: &[&str]| names.iter().any(|name| unit.eq_ignore_ascii_case(name));
    if is_one_of(&["KM", "KILOMETER", "KILOMETERS"]) {
        Ok(EARTH_RADIUS_KM)
    } else if is_one_of(&["MI", "MILE", "MILES"]) {
        Ok(EARTH_RADIUS_MILES)
    } else {
        Err(format!("a unit of GEO_DISTANCE is KM, KILOMETER, KILOMETERS, MI, MILE or MILES, not {unit}"))
    }
}

/// Latitude and longitude in radians.
fn point(latitude: f64, longitude: f64) -> Result<(f64, f64), String> {
    if !(-90.0..=90.0).contains(&latitude) {
        return Err(format!("a latitude of GEO_DISTANCE lies between -90 and 90, {latitude} does not"));
    }
    if !(-180.0..=180.0).contains(&longitude) {
        return Err(format!("a longitude of GEO_DISTANCE lies between -180 and 180, {longitude} does not"));
    }
    Ok((latitude.to_radians(), longitude.to_radians()))
}

fn central_angle(from: (f64, f64), to: (f64, f64)) -> f64 {
    let half_chord =
        ((to.0 - from.0) / 2.0).sin().powi(2) + ((to.1 - from.1) / 2.0).sin().powi(2) * from.0.cos() * to.0.cos();
    2.0 * half_chord.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::super::columns::harness::{call, check};
    use super::super::columns::harness::{doubles, text, texts};
    use super::*;

    #[test]
    fn distances_of_cities() {
        let palo_alto_to_london = |units| {
            let constant = |value| doubles(&[Some(value); 4]);
            let arguments = [constant(37.4439), constant(-122.1663), constant(51.5257), constant(-0.1122), units];
            call(&functions(), "GEO_DISTANCE", &arguments, 4)
        };
        let want = [8634.659796579544, 8634.659796579544, 5365.659729188262, 5365.659729188262];
        for (given, want) in palo_alto_to_london(texts(&[None, Some("km"), Some("MI"), Some("miles")])).iter().zip(want)
        {
            assert!((given.parse::<f64>().unwrap() - want).abs() < 1e-9, "{given}, not {want}");
        }
        assert_eq!(
            palo_alto_to_london(text("yards")),
            ["error: a unit of GEO_DISTANCE is KM, KILOMETER, KILOMETERS, MI, MILE or MILES, not yards"]
        );
    }

    #[test]
    fn nulls_and_impossible_points() {
        let at = |latitude: Option<f64>, longitude: f64, want: &str| {
            let arguments =
                [doubles(&[latitude]), doubles(&[Some(longitude)]), doubles(&[Some(0.0)]), doubles(&[Some(0.0)])];
            check(&functions(), "GEO_DISTANCE", &arguments, &[want]);
        };
        at(Some(0.0), 0.0, "0.0");
        at(None, 0.0, "null");
        at(Some(90.5), 0.0, "error: a latitude of GEO_DISTANCE lies between -90 and 90, 90.5 does not");
        at(Some(0.0), -181.0, "error: a longitude of GEO_DISTANCE lies between -180 and 180, -181 does not");
    }
}
