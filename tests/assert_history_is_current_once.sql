select
    user_id,
    count(case when is_current then 1 end) as current_count
from {{ ref('dim_users') }}
group by user_id
having
    count(case when is_current then 1 end) <> 1
    or max(valid_to) <> max(case when is_current then valid_to end)
