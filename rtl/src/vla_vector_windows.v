// The windows of a POOL packet as jobs for two operands: output pixels 0, 2, 4, ... and 1, 3, 5, ...
// Does: walk the output in the order pixel, row, channel block, two windows per cycle; when their number
// is odd, the last job of the second operand is empty and its result is not written.
// Does not: read anything.
// Latency: start to first job 4 cycles. Handshake: jobs are valid/ready.
`default_nettype none
module vla_vector_windows #(
  parameter Aw = 17  // address bits of the activation scratchpad
) (
  input  wire            clk_i,
  input  wire            rst_i,
  input  wire            start_i,
  // constant while a packet runs
  input  wire [Aw-1:0]   in_base_i,
  input  wire [13:0]     in_w_i,
  input  wire [10:0]     in_h_i,
  input  wire [Aw-1:0]   row_stride_i,
  input  wire [Aw-1:0]   pitch_i,
  input  wire [10:0]     ring_i,
  input  wire [10:0]     slot_i,
  input  wire [9:0]      blocks_i,
  input  wire [13:0]     out_w_i,
  input  wire [10:0]     out_h_i,
  input  wire [10:0]     kernel_w_i,
  input  wire [10:0]     kernel_h_i,
  input  wire [3:0]      stride_w_i,
  input  wire [3:0]      stride_h_i,
  input  wire [7:0]      pad_left_i,
  input  wire [7:0]      pad_top_i,
  input  wire            count_valid_i,
  // jobs: operand 1's fields above operand 0's
  output wire [1:0]      job_valid_o,
  input  wire [1:0]      job_ready_i,
  output wire [1:0]      job_empty_o,
  output wire [2*Aw-1:0] job_origin_o,
  output wire [2*Aw-1:0] job_off_o,
  output wire [21:0]     job_slot_o,
  output wire [21:0]     job_w_o,
  output wire [21:0]     job_h_o,
  output wire [43:0]     job_record_o
);

  reg                run_q;
  reg  [13:0]        ox_q;
  reg  [10:0]        oy_q;
  reg  [9:0]         c_q;
  reg  signed [19:0] x_q, y_q;
  reg  [Aw-1:0]      origin_q;

  wire [13:0]        ox1, ox2;
  wire [10:0]        oy1, oy2;
  wire [9:0]         c1, c2;
  wire signed [19:0] x1, x2, y1, y2;
  wire [Aw-1:0]      origin1, origin2;
  wire               end1, end2;

  wire signed [19:0] x0 = -$signed({12'd0, pad_left_i});
  wire signed [19:0] y0 = -$signed({12'd0, pad_top_i});

  vla_vector_place #(.Aw(Aw)) u_first (
    .en_i(run_q), .out_w_i(out_w_i), .out_h_i(out_h_i), .x0_i(x0), .y0_i(y0),
    .stride_w_i(stride_w_i), .stride_h_i(stride_h_i), .pitch_i(pitch_i),
    .ox_i(ox_q), .oy_i(oy_q), .c_i(c_q), .x_i(x_q), .y_i(y_q), .origin_i(origin_q),
    .ox_o(ox1), .oy_o(oy1), .c_o(c1), .x_o(x1), .y_o(y1), .origin_o(origin1), .end_o(end1)
  );
  vla_vector_place #(.Aw(Aw)) u_second (
    .en_i(run_q), .out_w_i(out_w_i), .out_h_i(out_h_i), .x0_i(x0), .y0_i(y0),
    .stride_w_i(stride_w_i), .stride_h_i(stride_h_i), .pitch_i(pitch_i),
    .ox_i(ox1), .oy_i(oy1), .c_i(c1), .x_i(x1), .y_i(y1), .origin_i(origin1),
    .ox_o(ox2), .oy_o(oy2), .c_o(c2), .x_o(x2), .y_o(y2), .origin_o(origin2), .end_o(end2)
  );

  wire [1:0] place_ready;
  wire       advance = run_q && (&place_ready);

  always @(posedge clk_i) begin
    if (rst_i) run_q <= 1'b0;
    else if (start_i) run_q <= 1'b1;
    else if (advance && (end1 || end2)) run_q <= 1'b0;
  end

  always @(posedge clk_i) begin
    if (start_i) begin
      ox_q     <= out_w_i;
      oy_q     <= out_h_i;
      c_q      <= blocks_i;
      x_q      <= x0;
      y_q      <= y0;
      origin_q <= in_base_i;
    end else if (advance) begin
      ox_q     <= ox2;
      oy_q     <= oy2;
      c_q      <= c2;
      x_q      <= x2;
      y_q      <= y2;
      origin_q <= origin2;
    end
  end

  wire [1:0]      place_none   = {end1, 1'b0};
  wire [39:0]     place_x      = {x1, x_q};
  wire [39:0]     place_y      = {y1, y_q};
  wire [2*Aw-1:0] place_origin = {origin1, origin_q};

  genvar i;
  generate
    for (i = 0; i < 2; i = i + 1) begin : g_window
      vla_vector_window #(.Aw(Aw)) u_window (
        .clk_i(clk_i), .rst_i(rst_i),
        .in_w_i(in_w_i), .in_h_i(in_h_i), .row_stride_i(row_stride_i), .ring_i(ring_i), .slot_i(slot_i),
        .kernel_w_i(kernel_w_i), .kernel_h_i(kernel_h_i), .count_valid_i(count_valid_i),
        .place_valid_i(advance), .place_ready_o(place_ready[i]), .place_none_i(place_none[i]),
        .place_x_i(place_x[20*i +: 20]), .place_y_i(place_y[20*i +: 20]),
        .place_origin_i(place_origin[Aw*i +: Aw]),
        .job_valid_o(job_valid_o[i]), .job_ready_i(job_ready_i[i]), .job_empty_o(job_empty_o[i]),
        .job_origin_o(job_origin_o[Aw*i +: Aw]), .job_off_o(job_off_o[Aw*i +: Aw]),
        .job_slot_o(job_slot_o[11*i +: 11]), .job_w_o(job_w_o[11*i +: 11]),
        .job_h_o(job_h_o[11*i +: 11]), .job_record_o(job_record_o[22*i +: 22])
      );
    end
  endgenerate

endmodule
`default_nettype wire
