//! Which images come when, and that nothing else decides over it.

use super::*;

#[test]
fn batches_are_the_same_bits_with_one_two_and_five_workers() {
    let one = all(plan(some_unreadable(), 1));
    assert_eq!(one.len(), 3 * 6);
    for n_workers in [2, 5] {
        assert_eq!(fixed(&one), fixed(&all(plan(some_unreadable(), n_workers))), "{n_workers} workers");
    }
}

#[test]
fn a_look_ahead_changes_nothing_of_what_comes() {
    let expected = all(plan(some_unreadable(), 3));
    let plan = plan(some_unreadable(), 3);
    let unreadable = Arc::clone(&plan.unreadable);
    let mut loader = Loader::start(plan).unwrap();
    let mut got = Vec::new();
    let mut n_looks = 0;
    loop {
        let n_before = unreadable.len();
        // A batch is loaded at some time; the last look finds none.
        let seen = (0..200).find_map(|_| {
            let seen = loader.look_ahead().map(|seen| ((seen.epoch, seen.step), seen.n, seen.views.to_vec()));
            if seen.is_none() && got.len() < expected.len() {
                std::thread::sleep(Duration::from_millis(5));
            }
            seen
        });
        assert_eq!(unreadable.len(), n_before, "a batch counts when it is given");
        let Some(batch) = loader.next().unwrap() else {
            assert!(seen.is_none());
            break;
        };
        if let Some((at, n, views)) = seen {
            assert_eq!((at, n), ((batch.epoch, batch.step), batch.images.len()));
            assert!(views == batch.views);
            n_looks += 1;
        }
        got.push(batch);
    }
    assert!(n_looks > 0);
    assert_eq!(fixed(&got), fixed(&expected));
    assert_eq!(unreadable.len(), 5);
}

#[test]
fn a_rest_that_is_kept_is_a_smaller_last_batch() {
    let images = || Numbers { n: 50, ..Numbers::default() };
    let batches = all(LoaderPlan { rest: Rest::Kept, ..plan(images(), 2) });
    let lens: Vec<usize> = batches.iter().map(|batch| batch.images.len()).collect();
    assert_eq!(lens, [8, 8, 8, 8, 8, 8, 2].repeat(3));
    for epoch in batches.chunks(7) {
        let seen: BTreeSet<usize> = epoch.iter().flat_map(|batch| batch.images.clone()).collect();
        assert_eq!(seen.len(), 50);
    }
    assert_eq!(batches[6].views[0].values.len(), 2 * 2 * 2 * 3);
    // Fewer images than a batch are one.
    let few = all(LoaderPlan { rest: Rest::Kept, ..plan(Numbers { n: 5, ..Numbers::default() }, 2) });
    assert_eq!(few.iter().map(|batch| batch.images.len()).collect::<Vec<_>>(), [5; 3]);
    let none = LoaderPlan { rest: Rest::Kept, ..plan(Numbers::default(), 2) };
    assert!(matches!(Loader::start(none), Err(LoaderError::TooFewImages { .. })));
}

#[test]
fn an_epoch_visits_every_image_at_most_once_and_no_two_epochs_are_in_the_same_order() {
    let batches = all(plan(Numbers { n: 48, ..Numbers::default() }, 2));
    let orders: Vec<Vec<usize>> = batches
        .chunks(6)
        .map(|epoch| epoch.iter().flat_map(|batch| batch.images.clone()).collect())
        .collect();
    for order in &orders {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..48).collect::<Vec<_>>());
    }
    assert_ne!(orders[0], orders[1]);
    assert_eq!((batches[7].epoch, batches[7].step), (1, 1));
}

#[test]
fn rows_belong_to_their_images_and_views_differ() {
    for batch in all(plan(Numbers { n: 20, ..Numbers::default() }, 3)) {
        assert_eq!(batch.views[0].size, (2, 2));
        for view in &batch.views {
            for (row, &image) in view.values.chunks(12).zip(&batch.images) {
                assert!(row.iter().all(|value| (0.0..2.0).contains(&(value - image as f32))));
            }
        }
        assert_ne!(batch.views[0].values, batch.views[1].values);
    }
}

#[test]
fn a_run_that_starts_in_the_middle_goes_on_as_if_it_had_never_stopped() {
    let whole = all(plan(some_unreadable(), 2));
    let resumed = all(LoaderPlan { first: (1, 4), ..plan(some_unreadable(), 2) });
    assert_eq!(fixed(&whole[10..]), fixed(&resumed));
    let at_the_end_of_an_epoch = all(LoaderPlan { first: (0, 6), ..plan(some_unreadable(), 2) });
    assert_eq!(fixed(&whole[6..]), fixed(&at_the_end_of_an_epoch));
    assert!(all(LoaderPlan { first: (2, 6), ..plan(some_unreadable(), 2) }).is_empty());
}

#[test]
fn evaluation_gives_every_readable_image_once_in_order() {
    for (n_workers, range) in [(1, 0..50), (2, 0..50), (5, 0..50), (2, 24..40), (2, 50..50)] {
        let mut unreadable = BTreeSet::from([0, 7, 8, 33, 49]);
        unreadable.extend(16..24); // A whole batch.
        let images = Numbers { n: 50, unreadable: unreadable.clone(), ..Numbers::default() };
        let mut loader = EvalLoader::start(EvalPlan {
            range: range.clone(),
            unreadable: Arc::new(UnreadableLog::new(images.n, 1.0)),
            images: Arc::new(images),
            view: ("plain".into(), plain()),
            seed: 0,
            batch: 8,
            n_workers,
            prefetch_batches: 1,
        })
        .unwrap();
        let mut seen = Vec::new();
        while let Some(batch) = loader.next().unwrap() {
            assert_eq!(batch.size, (2, 2));
            for (row, &image) in batch.values.chunks(12).zip(&batch.images) {
                assert_eq!(row, [image as f32 / 255.0; 12]);
            }
            assert_eq!(batch.values.len(), batch.images.len() * 12);
            seen.extend(batch.images);
        }
        assert_eq!(seen, range.filter(|image| !unreadable.contains(image)).collect::<Vec<_>>());
    }
}

#[test]
fn parts_hold_the_images_and_views_of_whole_batches() {
    let whole = all(plan(some_unreadable(), 2));
    for is_shuffled in [false, true] {
        let parts = all(LoaderPlan {
            parts: in_parts(4, is_shuffled),
            own_parts: 0..4,
            ..plan(some_unreadable(), 3)
        });
        assert_eq!(parts.len(), whole.len() * 8);
        let own = all(LoaderPlan {
            parts: in_parts(4, is_shuffled),
            own_parts: 2..4,
            ..plan(some_unreadable(), 1)
        });
        let expected = parts.chunks(4).flat_map(|pass| &pass[2..]);
        assert!(
            own.iter()
                .map(|part| (&part.images, &part.views))
                .eq(expected.map(|part| (&part.images, &part.views)))
        );
        for (step, (batch, parts)) in whole.iter().zip(parts.chunks(8)).enumerate() {
            for (pass, (name, parts)) in ["x2", "x1"].into_iter().zip(parts.chunks(4)).enumerate() {
                let shuffle = batch_shuffle(6, step as u64, 8);
                let view = batch.views.iter().find(|view| view.name == name).unwrap();
                for (part_idx, part) in parts.iter().enumerate() {
                    assert_eq!((part.epoch, part.step), (batch.epoch, batch.step));
                    assert_eq!(part.views.len(), 1);
                    for (i, image) in part.images.iter().enumerate() {
                        let place = part_idx + 4 * i;
                        let place = if is_shuffled && pass == 0 { shuffle[place] } else { place };
                        assert_eq!(*image, batch.images[place]);
                        assert_eq!(part.views[0].values[12 * i..][..12], view.values[12 * place..][..12]);
                    }
                }
            }
        }
    }
}
