//! Rows, and sums over them.

use kernels_cpu::{Precision, unit_rows::MIN_LENGTH};

use super::*;
use crate::{
    rows::{gather_rows, unit_rows, unit_rows_backward, write_around},
    sum_rows,
};

fn length(row: &[f64]) -> f64 {
    row.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn unit_rows_are_their_definition() {
    // Fewer columns than lanes and more; rows that fill no block.
    for (n, width) in [(1, 3), (19, 40), (5, 128)] {
        let (x, values) = array(1, n * width, Precision::F32);
        let (gradient, by_y) = array(2, n * width, Precision::F32);
        let lengths: Vec<f64> = values.chunks(width).map(length).collect();
        let unit: Vec<f64> = values.iter().enumerate().map(|(i, v)| v / lengths[i / width]).collect();
        let (y, got) = unit_rows(&x, width).unwrap();
        check("rows", &y, &unit, 1e-6);
        check("lengths", &got, &lengths, 1e-6);
        let mut by_x = Vec::new();
        for ((unit, by_y), length) in unit.chunks(width).zip(by_y.chunks(width)).zip(&lengths) {
            let along: f64 = unit.iter().zip(by_y).map(|(y, g)| y * g).sum();
            by_x.extend(unit.iter().zip(by_y).map(|(y, g)| (g - along * y) / length));
        }
        check("gradient", &unit_rows_backward(gradient, &y, &got, width).unwrap(), &by_x, 1e-5);
    }
}

#[test]
fn rows_of_any_length_have_one() {
    let rows = [
        [1.0, f32::NAN, 2.0],
        [0.0, 0.0, 0.0],
        [3e-13, 0.0, -4e-13],
        [3e19, 0.0, -4e19],
        [f32::INFINITY, 0.0, 1.0],
        [3.0, 0.0, -4.0],
    ];
    let (y, lengths) = unit_rows(&Array::upload(rows.concat()).unwrap(), 3).unwrap();
    let (y, lengths) = (y.to_host().unwrap(), lengths.to_host().unwrap());
    assert!(y[..3].iter().all(|value| value.is_nan()) && lengths[0].is_nan(), "{y:?}, {lengths:?}");
    assert_eq!(lengths[1..], [MIN_LENGTH, MIN_LENGTH, 5e19, f32::INFINITY, 5.0]);
    assert_eq!(y[3..6], [0.0; 3]);
    assert_close("a short row", &y[6..9], &[0.3, 0.0, -0.4], 1e-6);
    assert_close("a long row", &y[9..12], &[0.6, 0.0, -0.8], 1e-6);
    assert!(y[12].is_nan() && y[13..15] == [0.0; 2], "{y:?}");
    assert_close("a row", &y[15..], &[0.6, 0.0, -0.8], 1e-6);
}

#[test]
fn sums_of_rows_are_their_definition() {
    // Less than a chunk of rows, and more; columns that fill no block.
    for (n, width) in [(1, 1), (7, 33), (1000, 5), (16_500, 3)] {
        for (precision, _) in PRECISIONS {
            let (x, values) = array(1, n * width, precision);
            let sums: Vec<f64> = (0..width).map(|c| values.iter().skip(c).step_by(width).sum()).collect();
            check(&format!("{n} rows of {width}"), &sum_rows(&x, width).unwrap(), &sums, 1e-6);
        }
    }
}

#[test]
fn rows_are_gathered_in_their_order() {
    for (precision, _) in PRECISIONS {
        let (x, values) = array(1, 5 * 7, precision);
        let order = [4, 0, 0, 3];
        let expected: Vec<f64> =
            order.iter().flat_map(|row| values[row * 7..][..7].iter().copied()).collect();
        check("rows", &gather_rows(&x, 7, &order).unwrap(), &expected, 0.0);
    }
}

#[test]
fn rows_are_written_around() {
    const LEN: usize = 1000;
    for (precision, _) in PRECISIONS {
        for (first, n) in [(0, LEN), (0, 3), (998, 2), (998, 5), (999, LEN), (400, 900)] {
            let (values, written) = array(1, n, precision);
            let mut buffer = upload(&noise(2, LEN)).unwrap();
            let mut expected = wide(&noise(2, LEN));
            for (i, value) in written.into_iter().enumerate() {
                expected[(first + i) % LEN] = value;
            }
            write_around(&mut buffer, &values, first).unwrap();
            assert_close("buffer", &crate::download(&buffer).unwrap(), &expected, 0.0);
        }
    }
}
